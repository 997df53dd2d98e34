package api

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// lent is a Config.Devices by which bob's server "gpu" and their stopped one hold a device.
func lent(_ context.Context, k ident.Key) []string {
	if k.String() == "bob:gpu" || k.String() == "bob:stopped" {
		return []string{"nvidia.com/gpu=0"}
	}
	return nil
}

// TestServerModelTellsDevices checks that the devices stand in the model of the server that
// holds them, and that the model of others is JupyterHub's.
func TestServerModelTellsDevices(t *testing.T) {
	srv, f, _ := serve(t)
	f.states = map[string]servers.State{"bob": servers.Ready, "bob:gpu": servers.Ready, "bob:stopped": servers.Stopped}
	status, body, _ := ask(t, srv, "GET", "/hub/api/users/bob?include_stopped_servers", "", "X-Test-User", "bob")
	var got struct{ Servers map[string]map[string]any }
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK || len(got.Servers) != 3 {
		t.Fatalf("%d %v %s", status, err, body)
	}
	if diff := cmp.Diff([]any{"nvidia.com/gpu=0"}, got.Servers["gpu"]["gpus"]); diff != "" {
		t.Errorf("gpus (-want +got):\n%s", diff)
	}
	for _, name := range []string{"", "stopped"} {
		if held, stands := got.Servers[name]["gpus"]; stands {
			t.Errorf("server %q has the key gpus: %v", name, held)
		}
	}
}
