package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/cull"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// TestServerModelTellsItsEnd checks that the announced end stands in the model, and that
// the model of other servers is JupyterHub's.
func TestServerModelTellsItsEnd(t *testing.T) {
	alice, err := ident.ParseKey("alice", "")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := ident.ParseKey("bob", "")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 4, 15, 4, 5, 0, time.UTC)
	a := New(Config{BaseURL: "/", Cull: func(k ident.Key) (cull.Notice, bool) {
		return cull.Notice{At: at, Reason: cull.ReasonIdle}, k == alice
	}})
	tests := map[string]struct {
		key  ident.Key
		want any
	}{
		"announced": {alice, map[string]any{"at": "2026-03-04T15:04:05.000000Z", "reason": "idle"}},
		"not":       {bob, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			encoded, err := json.Marshal(a.server(servers.Server{Key: tt.key, State: servers.Ready}))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(encoded, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got["cull"]); diff != "" {
				t.Errorf("cull (-want +got):\n%s", diff)
			}
			if _, stands := got["cull"]; stands != (tt.want != nil) {
				t.Errorf("the key cull stands in %s", encoded)
			}
		})
	}
}
