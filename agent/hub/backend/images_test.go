package backend

import (
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestOlder(t *testing.T) {
	alice, bob := key(t, "alice"), key(t, "bob")
	images := Images{Servers: map[ident.Key]string{alice: "1"}, Profiles: map[string]string{"lab": "1", "gpu": "2"}}
	profiles := []Profile{{Name: "gpu"}, {Name: "lab", Default: true}}
	tests := map[string]struct {
		key          ident.Key
		profile      string
		older, known bool
	}{
		"the same":             {alice, "lab", false, true},
		"the default's":        {alice, "", false, true},
		"older":                {alice, "gpu", true, true},
		"a copy of its own":    {bob, "lab", true, false},
		"profile not in store": {alice, "gone", true, false},
	}
	for name, tt := range tests {
		older, known := images.Older(tt.key, tt.profile, profiles)
		if known != tt.known || known && older != tt.older {
			t.Errorf("%s: older %v, known %v", name, older, known)
		}
	}
}
