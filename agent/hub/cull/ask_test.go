package cull

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// purse keeps tokens as the store does.
type purse struct {
	live    map[int64]store.Token
	made    []store.Token
	failing error
}

func (p *purse) CreateToken(_ context.Context, t store.Token) (int64, error) {
	if p.failing != nil {
		return 0, p.failing
	}
	p.made = append(p.made, t)
	id := int64(len(p.made))
	p.live[id] = t
	return id, nil
}

func (p *purse) DeleteToken(ctx context.Context, user ident.User, id int64) error {
	if ctx.Err() != nil || p.live[id].User != user {
		return errors.New("not deleted")
	}
	delete(p.live, id)
	return nil
}

// jupyter is a Jupyter server on a socket that accepts any live token.
func jupyter(t *testing.T, p *purse, status, kernels string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "token ")
		known := false
		for _, token := range p.live {
			known = known || token.Hash == ident.HashToken(secret)
		}
		switch {
		case !known:
			w.WriteHeader(http.StatusForbidden)
		case r.Method != "GET" || !r.URL.Query().Has("no_track_activity"):
			t.Errorf("%s %s would count as activity", r.Method, r.URL)
		case r.URL.Path == "/hub/user/alice/api/status" && status != "":
			_, _ = fmt.Fprint(w, status)
		case r.URL.Path == "/hub/user/alice/api/kernels":
			_, _ = fmt.Fprint(w, kernels)
		default:
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	})
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	srv.Start()
	t.Cleanup(srv.Close)
	return socket
}

func TestAsk(t *testing.T) {
	const status = `{"connections": 1, "kernels": 2, "last_activity": "2026-03-04T09:00:00.123456Z",
		"started": "2026-03-04T08:00:00Z"}`
	active := time.Date(2026, 3, 4, 9, 0, 0, 123456000, time.UTC)
	kernel := func(state string, connections int) string {
		return fmt.Sprintf(`{"id": "x", "name": "python3", "last_activity": "2026-03-04T09:00:00Z",
			"execution_state": %q, "connections": %d}`, state, connections)
	}
	tests := map[string]struct {
		status, kernels string
		connected       bool
		want            Report
		wrong           string // part of the error
	}{
		"no kernels":      {status: status, kernels: `[]`, want: Report{false, active}},
		"idle":            {status: status, kernels: "[" + kernel("idle", 0) + "]", want: Report{false, active}},
		"perhaps at work": {status: status, kernels: "[" + kernel("starting", 0) + "]", want: Report{true, active}},
		"dead":            {status: status, kernels: "[" + kernel("dead", 0) + "]", want: Report{false, active}},
		"one of them busy": {status: status, kernels: "[" + kernel("idle", 0) + "," + kernel("busy", 0) + "]",
			want: Report{true, active}},
		"open tab": {status: status, kernels: "[" + kernel("idle", 1) + "]", want: Report{false, active}},
		"open tab counts": {status: status, kernels: "[" + kernel("idle", 1) + "]", connected: true,
			want: Report{true, active}},
		"redirects": {kernels: `[]`, wrong: "api/status: it answered 302"},
		"no JSON":   {status: "<html>", kernels: `[]`, wrong: "cannot read the answer"},
		"kernels unlike it": {status: status, kernels: `{"message": "Forbidden"}`,
			wrong: "api/kernels: cannot read the answer"},
		"endless": {status: status, kernels: "[" + strings.Repeat(" ", 2<<20) + "]",
			wrong: "cannot read the answer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := &purse{live: map[int64]store.Token{}}
			socket := jupyter(t, p, tt.status, tt.kernels)
			got, err := asks(p, socket, tt.connected).Ask(t.Context(), key(t, "alice"))
			if tt.wrong == "" && err != nil || tt.wrong != "" &&
				(err == nil || !strings.Contains(err.Error(), tt.wrong)) {
				t.Fatalf("error %v, want %q", err, tt.wrong)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if len(p.live) != 0 || len(p.made) != 1 {
				t.Fatalf("made %d tokens, %d are left", len(p.made), len(p.live))
			}
			token := p.made[0]
			if diff := cmp.Diff([]string{"access:servers!server=alice/"}, token.Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
			if left := time.Until(token.Expires); left > time.Minute || left < 30*time.Second ||
				token.User != key(t, "alice").User || token.SessionID != "" {
				t.Errorf("the token is %+v", token)
			}
		})
	}
}

func asks(p *purse, socket string, connected bool) Jupyter {
	return Jupyter{Tokens: p, Connected: connected,
		Route: func(ident.Key) (backend.Address, bool) {
			return backend.UnixSocket(socket, uint32(os.Getuid())), socket != ""
		},
		Prefix: func(k ident.Key) string { return "/hub" + k.Path() }}
}

// TestAskFails checks that no token remains after questions without an answer.
func TestAskFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	gone := filepath.Join(t.TempDir(), "gone")
	tests := map[string]struct {
		ctx    context.Context
		purse  purse
		socket string
	}{
		"no route":      {ctx: t.Context()},
		"nobody there":  {ctx: t.Context(), socket: gone},
		"no token":      {ctx: t.Context(), purse: purse{failing: errors.New("disk full")}},
		"the hub stops": {ctx: ended, socket: gone},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.purse.live = map[int64]store.Token{}
			if _, err := asks(&tt.purse, tt.socket, false).Ask(tt.ctx, key(t, "alice")); err == nil {
				t.Error("there was an answer")
			}
			if len(tt.purse.live) != 0 {
				t.Error("a token is left")
			}
		})
	}
}

// TestAskBelievesNoFuture checks that a member's program cannot be active in the future.
func TestAskBelievesNoFuture(t *testing.T) {
	p := &purse{live: map[int64]store.Token{}}
	socket := jupyter(t, p, `{"last_activity": "2999-01-01T00:00:00Z"}`, `[]`)
	r, err := asks(p, socket, false).Ask(t.Context(), key(t, "alice"))
	if err != nil || time.Until(r.LastActivity) > 0 {
		t.Errorf("last activity %v, %v", r.LastActivity, err)
	}
}
