package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// atRest reports what testSizes of test/e2e has measured in the same run, before there
// was anything else on the host.
func atRest(_ context.Context, b *bench) error {
	file := os.Getenv("BENCH_HUB")
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("the figures of test/e2e's Sizes (BENCH_HUB): %w", err)
	}
	var measured []struct {
		Name, Unit string
		Rounds     []float64
	}
	if err := json.Unmarshal(data, &measured); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, m := range measured {
		if err := b.figures.add(m.Name, m.Unit, "", m.Rounds, nil); err != nil {
			return err
		}
	}
	return nil
}
