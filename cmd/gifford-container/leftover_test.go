package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// TestSettle checks that podman is asked to stop the unit's container only where the member has containers.
func TestSettle(t *testing.T) {
	for name, tt := range map[string]struct {
		container, entry, want string
	}{
		"one is left":    {"jupyter-bob", "overlay-containers/0123", "stop --ignore --time=0 jupyter-bob"},
		"none is left":   {"jupyter-bob", "overlay-containers", ""},
		"no storage":     {"jupyter-bob", "", ""},
		"not of ours":    {"", "overlay-containers/0123", ""},
		"podman refuses": {"refuse", "overlay-containers/0123", "stop --ignore --time=0 refuse"},
	} {
		t.Run(name, func(t *testing.T) {
			storage := t.TempDir()
			podman, log := filepath.Join(storage, "podman"), filepath.Join(storage, "log")
			if err := os.MkdirAll(filepath.Join(storage, tt.entry), 0o700); err != nil {
				t.Fatal(err)
			}
			script := "#!/bin/sh\necho \"$@\" >>" + log + "\n[ \"$4\" != refuse ]\n"
			if err := os.WriteFile(podman, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv(contract.EnvContainer, tt.container)
			settle(t.Context(), podman, storage)
			got, err := os.ReadFile(log)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if strings.TrimSpace(string(got)) != tt.want {
				t.Errorf("podman was asked %q, want %q", got, tt.want)
			}
		})
	}
}
