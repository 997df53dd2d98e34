package main

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
)

const (
	many       = 20
	manyRounds = 3
	alone      = "one alone"
)

// crowd is what one round of new members at once took.
type crowd struct {
	median float64 // seconds from request to active, of the member in the middle
	last   float64 // seconds until the last was active
	cpu    float64 // CPU seconds of the whole host
}

// manyStarts alternates one new member alone and twenty at once. The peer is ours: with
// plain Podman's copies the disk would be full before the tenth.
func manyStarts(ctx context.Context, b *bench, img testImage) error {
	var wall, wallAlone, median, cpu, cpuAlone []float64
	for round := range manyRounds {
		one, err := startAtOnce(ctx, b.host, img.profile, 1)
		if err != nil {
			return err
		}
		all, err := startAtOnce(ctx, b.host, img.profile, many)
		if err != nil {
			return err
		}
		progress("%d at once, round %d: one alone %.3f s and %.3f CPU seconds; the middle one of %d %.3f s, the "+
			"last %.3f s, %.3f CPU seconds each",
			many, round+1, one.last, one.cpu, many, all.median, all.last, all.cpu/many)
		wall, wallAlone, median = append(wall, all.last/many), append(wallAlone, one.last), append(median, all.median)
		cpu, cpuAlone = append(cpu, all.cpu/many), append(cpuAlone, one.cpu)
	}
	for _, f := range []struct {
		name       string
		ours, peer []float64
	}{
		{"twenty-at-once-wall-per-user", wall, wallAlone},
		{"twenty-at-once-median-active", median, wallAlone},
		{"twenty-at-once-cpu-per-user", cpu, cpuAlone},
	} {
		if err := b.figures.add(f.name, "s", alone, f.ours, f.peer); err != nil {
			return err
		}
	}
	return nil
}

// startAtOnce starts the servers of new members at the same time, and stops them.
func startAtOnce(ctx context.Context, h *host, profile string, n int) (crowd, error) {
	members, err := h.members(ctx, n)
	if err != nil {
		return crowd{}, err
	}
	if err := h.settle(); err != nil {
		return crowd{}, err
	}
	before, err := h.cpuSeconds()
	if err != nil {
		return crowd{}, err
	}
	took := make([]float64, n)
	starts, startCtx := errgroup.WithContext(ctx)
	for i, who := range members {
		starts.Go(func() error {
			d, err := h.start(startCtx, who, profile)
			took[i] = d.Seconds()
			return err
		})
	}
	if err := starts.Wait(); err != nil {
		return crowd{}, err
	}
	after, err := h.cpuSeconds()
	if err != nil {
		return crowd{}, err
	}
	for _, who := range members {
		if err := h.stop(ctx, who); err != nil {
			return crowd{}, err
		}
	}
	return crowd{quantile(took, 0.5), slices.Max(took), after - before}, nil
}
