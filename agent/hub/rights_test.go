package hub

import (
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
