package unit

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// TestSettings checks which changes of a profile apply only after a reset.
func TestSettings(t *testing.T) {
	base := input(t, lasting, "alice", "", podman54).Settings()
	tests := map[string]struct {
		text  string
		other bool
	}{
		"the same":    {lasting, false},
		"limits":      {lasting + "memory_max = \"2G\"\nstart_timeout = \"9m\"\n", false},
		"description": {lasting + "description = \"x\"\n", false},
		"default url": {lasting + "default_url = \"/tree\"\n", false},
		"image":       {strings.Replace(lasting, ":latest", ":2026", 1), true},
		"environment": {strings.Replace(lasting, "$5", "$6", 1), true},
		"mount":       {lasting + "[[mount]]\nsource = \"/data\"\ntarget = \"/data\"\n", true},
		"sudo":        {lasting + "allow_sudo = false\n", true},
		"mapping":     {lasting + "user_mapping = \"host\"\n", true},
		"command":     {lasting + "command = [\"x\"]\n", true},
		"devices":     {lasting + "gpus = 1\n", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := input(t, tt.text, "alice", "", podman54).Settings(); (got != base) != tt.other {
				t.Errorf("another hash: %v, want %v", got != base, tt.other)
			}
		})
	}
}

// TestSettingsDevices checks that a persistent container counts as made from older settings when the
// profile asks for other devices by now, and not when it holds others than a new one would.
func TestSettingsDevices(t *testing.T) {
	with := func(text string) Input { return input(t, lasting+text, "alice", "", podman54) }
	one := with("gpus = 1\n")
	if one.Settings() != holding(one).Settings() {
		t.Error("which devices it holds counts")
	}
	for _, text := range []string{"", "gpus = 2\n", "gpus = 1\ngpu_model = \"*A100*\"\n", "gpus = \"all\"\n"} {
		if with(text).Settings() == one.Settings() {
			t.Errorf("%q is the same as one device", text)
		}
	}
	one.WithoutGPUs = true
	if one.Settings() != with("").Settings() {
		t.Error("a container that was made without devices is of the profile's settings")
	}
}

// TestReset checks the unit that removes a persistent container.
func TestReset(t *testing.T) {
	for name, v := range map[string]contract.PodmanVersion{"reset": podman54, "reset-old-podman": podman43} {
		t.Run(name, func(t *testing.T) {
			spec := Reset(input(t, plain, "alice", "gpu-2", v), []string{"lab", "old-profile"})
			var b strings.Builder
			fmt.Fprintln(&b, spec.Name)
			for _, p := range spec.Properties {
				show(&b, p)
			}
			golden(t, filepath.Join("testdata", name+".golden"), b.String())
		})
	}
}
