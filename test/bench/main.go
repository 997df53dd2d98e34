// Command bench measures gifford-hub on a throwaway host beside plain rootless Podman on
// the same host, round by round, and writes one line a figure and dist/bench.json.
// test/bench/run boots the host and runs it. It must never judge a time: an error ends it,
// slowness does not.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// bench is one run.
type bench struct {
	host    *host
	figures *figures
}

// part is a group of figures; BENCH_PARTS chooses among them.
type part struct {
	name string // "" is not for choice
	run  func(context.Context, *bench) error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	sizes, err := parseSizes(os.Getenv("BENCH_SIZES"))
	if err != nil {
		return err
	}
	h, err := theHost()
	if err != nil {
		return err
	}
	defer h.close()
	b := &bench{h, &figures{out: os.Stdout}}
	parts := []part{
		{"hub", atRest},
		{"", withoutHub},
		{"files", fileSystem},
		{"starts", func(ctx context.Context, b *bench) error { return firstStarts(ctx, b, sizes) }},
	}
	for _, p := range parts {
		if chosen := strings.Fields(os.Getenv("BENCH_PARTS")); p.name != "" && len(chosen) > 0 &&
			!slices.Contains(chosen, p.name) {
			continue
		}
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("part %q: %w", p.name, err)
		}
	}
	return b.figures.write(os.Getenv("BENCH_JSON"))
}

// withoutHub stops the hub, which would end servers that it did not ask for and that do
// not answer. The launcher and the image keeper need no hub.
func withoutHub(ctx context.Context, b *bench) error {
	_, err := b.host.run(ctx, "systemctl stop 'gifford-hub*.socket' gifford-hub.service")
	return err
}

// parseSizes reads sizes of images in GB.
func parseSizes(s string) ([]float64, error) {
	if s == "" {
		s = "0.1 1.4 8"
	}
	var sizes []float64
	for word := range strings.FieldsSeq(s) {
		size, err := strconv.ParseFloat(word, 64)
		if err != nil || size < 0.05 || size > 64 {
			return nil, fmt.Errorf("BENCH_SIZES has %q: give sizes in GB from 0.05 to 64, such as \"0.1 1.4 8\"", word)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// progress reports on standard error what is being done; figures go to standard output.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
