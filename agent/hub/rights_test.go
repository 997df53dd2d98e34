package hub

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
)

// TestProviderHasBounds checks that the sign-in gets its own client, which has a time-out: http.DefaultClient has none.
func TestProviderHasBounds(t *testing.T) {
	c := newLoginConfig(given{cfg: &config.Config{}}, data{metrics: &metrics.Metrics{}})
	if c.HTTP != nil {
		t.Errorf("the provider is asked by %+v", c.HTTP)
	}
}

// TestMinUID checks that allow_all gets the bound of the launcher's policy, and the default while that cannot be read.
func TestMinUID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "launcher.toml")
	for _, tt := range []struct {
		text string
		want uint32
	}{{"", 0}, {"min_uid = [", 0}, {"[host]\nmin_uid = 2000\n" + aPolicy, 2000}, {aPolicy, 1000}} {
		if tt.text != "" {
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		g := given{cfg: &config.Config{}, minUID: minUID(file, slog.New(slog.DiscardHandler))}
		if got := newLoginConfig(g, data{metrics: &metrics.Metrics{}}).Access.MinUID; got != tt.want {
			t.Errorf("%q: %d, want %d", tt.text, got, tt.want)
		}
	}
}

// aPolicy is the least that a policy needs.
const aPolicy = `[profile.lab]
image = "example.org/lab:1"
default = true
`
