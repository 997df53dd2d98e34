package cull

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// tokens makes the tokens with which the servers are asked.
type tokens interface {
	CreateToken(ctx context.Context, t store.Token) (int64, error)
	DeleteToken(ctx context.Context, user ident.User, id int64) error
}

// Jupyter asks Jupyter servers with jupyter_server's REST API. All fields are required except where noted.
type Jupyter struct {
	Tokens tokens
	// Route returns where a server answers; ok is false for one that has no route.
	Route func(key ident.Key) (server backend.Address, ok bool)
	// Prefix is the server's URL path, a slash at both ends.
	Prefix func(key ident.Key) string
	// Connected counts a kernel as busy that has an open browser tab. Optional.
	Connected bool
}

// Bounds of one question.
const (
	maxAnswer = 10 * time.Second
	maxBody   = 1 << 20
	tokenLife = time.Minute // much more than maxAnswer; the token is deleted earlier
)

// kernelModel is the part of a kernel's model that counts (jupyter_server, services/kernels: kernel_model).
type kernelModel struct {
	State       string `json:"execution_state"`
	Connections int    `json:"connections"`
}

// works reports whether a kernel may be at work. "starting" counts: on a loaded host jupyter_server begins to listen to
// a kernel only after its first cell has said "busy", and then stays at "starting" as long as the cell is silent (seen
// with 2.15). A kernel that nobody ever connected to stays there too, so its server continues to run.
func (k kernelModel) works() bool { return k.State != "idle" && k.State != "dead" }

// Ask asks with a token that opens only this server and is deleted after the answer: the hub has only a hash of the
// server's own token. The question does not count as activity.
func (j Jupyter) Ask(ctx context.Context, key ident.Key) (r Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxAnswer)
	defer cancel()
	token := rand.Text()
	id, err := j.Tokens.CreateToken(ctx, store.Token{Hash: ident.HashToken(token), Kind: store.APIToken, User: key.User,
		Scopes: []string{"access:servers!server=" + scopes.ServerFilter(key)},
		Note:   "The hub asks whether the server is busy", Expires: time.Now().Add(tokenLife)})
	if err != nil {
		return r, err
	}
	defer func() {
		if gone := j.Tokens.DeleteToken(context.WithoutCancel(ctx), key.User, id); err == nil {
			err = gone
		}
	}()
	return j.report(ctx, key, token)
}

func (j Jupyter) report(ctx context.Context, key ident.Key, token string) (Report, error) {
	server, ok := j.Route(key)
	if !ok {
		return Report{}, fmt.Errorf("ask server %s: it has no route", key)
	}
	transport := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return server.Dial(ctx) }}
	var status struct {
		LastActivity time.Time `json:"last_activity"`
	}
	if err := get(ctx, transport, j.Prefix(key)+"api/status", token, &status); err != nil {
		return Report{}, err
	}
	var kernels []kernelModel
	if err := get(ctx, transport, j.Prefix(key)+"api/kernels", token, &kernels); err != nil {
		return Report{}, err
	}
	r := Report{LastActivity: status.LastActivity}
	for _, k := range kernels {
		r.Busy = r.Busy || k.works() || j.Connected && k.Connections > 0
	}
	if r.LastActivity.After(time.Now()) {
		r.LastActivity = time.Now() // the member's own program reports it
	}
	return r, nil
}

// get reads JSON. It does not follow redirects.
func get(ctx context.Context, transport http.RoundTripper, path, token string, into any) error {
	// no_track_activity: jupyter_server/base/handlers.py, update_api_activity.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path+"?no_track_activity=1", nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	req.Header.Set("Authorization", "token "+token)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: it answered %s", path, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(into); err != nil {
		return fmt.Errorf("ask %s: cannot read the answer: %w", path, err)
	}
	return nil
}
