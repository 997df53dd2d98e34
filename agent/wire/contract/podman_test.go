package contract

import (
	"testing"
)

func TestParsePodmanVersion(t *testing.T) {
	tests := map[string]struct {
		text      string
		want      PodmanVersion
		ok        bool
		supported bool
	}{
		"trixie":   {"podman version 5.4.2\n", PodmanVersion{5, 4}, true, true},
		"bookworm": {"podman version 4.3.1\n", PodmanVersion{4, 3}, true, true},
		"suffix":   {"podman version 5.0.0-dev", PodmanVersion{5, 0}, true, true},
		"old":      {"podman version 3.4.4", PodmanVersion{3, 4}, true, false},
		"older":    {"podman version 4.2.9", PodmanVersion{4, 2}, true, false},
		"empty":    {"", PodmanVersion{}, false, false},
		"no minor": {"podman version 5", PodmanVersion{}, false, false},
		"minor":    {"podman version 5.x.1", PodmanVersion{}, false, false},
		"more":     {"podman version 5.4.2 x", PodmanVersion{}, false, false},
		"words":    {"podman version five", PodmanVersion{}, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePodmanVersion(tt.text)
			if got != tt.want || (err == nil) != tt.ok || got.Supported() != tt.supported {
				t.Errorf("got %v, %v, supported %v", got, err, got.Supported())
			}
		})
	}
}

func TestHasPasta(t *testing.T) {
	for v, want := range map[PodmanVersion]bool{{4, 3}: false, {4, 4}: true, {5, 0}: true, {3, 9}: false} {
		if got := v.HasPasta(); got != want {
			t.Errorf("%v has pasta: %v", v, got)
		}
	}
}

func TestMapsGuest(t *testing.T) {
	for v, want := range map[PodmanVersion]bool{{4, 9}: false, {5, 2}: false, {5, 3}: true, {6, 0}: true} {
		if got := v.MapsGuest(); got != want {
			t.Errorf("%v maps an address of the host: %v", v, got)
		}
	}
}
