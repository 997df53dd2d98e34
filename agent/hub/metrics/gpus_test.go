package metrics

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// twoGPUs has a device of which everything is known and one of which nothing is.
var twoGPUs = backend.GPUs{Devices: []backend.Device{
	{Name: "nvidia.com/gpu=0", Model: `H"100`, Memory: 80e9, Holders: make([]backend.Holder, 2),
		Now: backend.Load{Known: true, Busy: .25, Memory: 2e9}, Strangers: make([]backend.Process, 3)},
	{Name: "nvidia.com/gpu=1", Health: "fell off the bus"},
}}

// TestGPUs checks which gauges of devices there are, and that a host without any has none.
func TestGPUs(t *testing.T) {
	const first, second = `{device="nvidia.com/gpu=0",model="H\"100"}`, `{device="nvidia.com/gpu=1",model=""}`
	for name, tt := range map[string]struct {
		gpus func(context.Context) (backend.GPUs, error)
		want []string
	}{
		"two": {func(context.Context) (backend.GPUs, error) { return twoGPUs, nil }, []string{
			"busy_ratio" + first + " 0.25", "healthy" + first + " 1", "healthy" + second + " 0",
			"holders" + first + " 2", "holders" + second + " 0",
			"memory_bytes" + first + " 8e+10", "memory_used_bytes" + first + " 2e+09", "strangers" + first + " 3",
			"strangers" + second + " 0", "waiting 1"}},
		"none": {func(context.Context) (backend.GPUs, error) { return backend.GPUs{}, nil }, nil},
		"not known": {func(context.Context) (backend.GPUs, error) {
			return backend.GPUs{},
				errors.New("no launcher")
		}, nil},
		"not asked": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := host(t)
			cfg.GPUs = tt.gpus
			others := cfg.Servers
			cfg.Servers = func() []servers.Server { return append(others(), servers.Server{State: servers.Queued}) }
			var got []string
			for line := range strings.Lines(scraped(t, newTest(t, cfg))) {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "gifford_gpu_"); ok {
					got = append(got, rest)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
