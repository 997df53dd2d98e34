package operator

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// fakeDeeds answers each act alike and keeps the last one.
type fakeDeeds struct {
	err  error
	done actions.Progress
	last any
}

func (f *fakeDeeds) Start(_ context.Context, _ access.Subject, req actions.StartRequest) error {
	f.last = req
	return f.err
}

func (f *fakeDeeds) Stop(_ context.Context, _ access.Subject, k ident.Key, wait time.Duration) (actions.Progress,
	error) {
	f.last = k.String() + " " + wait.String()
	return f.done, f.err
}

func (f *fakeDeeds) Reset(_ context.Context, _ access.Subject, k ident.Key, stop bool) error {
	f.last = k.String()
	if stop {
		f.last = k.String() + " stop"
	}
	return f.err
}

func (f *fakeDeeds) ForgetIdentity(_ context.Context, _ access.Subject, u ident.User) error {
	f.last = u.String()
	return f.err
}

func (f *fakeDeeds) CreateToken(_ context.Context, _ access.Subject, req actions.TokenRequest) (string, store.Token,
	error) {
	f.last = req.Note + " for " + req.Owner.String()
	return "secret", store.Token{ID: 7}, f.err
}

// fakeServers follows a start that gets ready, or fails.
type fakeServers struct{ failure *servers.Failure }

func (f fakeServers) Get(k ident.Key) servers.Server {
	return servers.Server{Key: k, Failure: f.failure}
}
func (fakeServers) List() []servers.Server { return nil }

func (f fakeServers) Follow(_ context.Context, _ ident.Key, step func(servers.Progress) error) (bool, error) {
	return true, step(servers.Progress{Percent: 100, Message: "over", Ready: f.failure == nil,
		Failed: f.failure != nil})
}

// send asks as a command does, and returns the status, the body and who was made known.
func send(t *testing.T, d *fakeDeeds, failure *servers.Failure, path, body string) (int, string, []string) {
	t.Helper()
	var known []string
	o := New(Config{Actions: d, Servers: fakeServers{failure}, Log: slog.New(slog.DiscardHandler),
		Subject: func(context.Context) access.Subject { return access.Subject{} },
		Know: func(_ context.Context, u ident.User) error {
			known = append(known, u.String())
			return errors.New("disk full") // is no reason to end the start
		}})
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	return w.Code, w.Body.String(), known
}

// TestDeeds sends each command to actions and has its answer to what comes back.
func TestDeeds(t *testing.T) {
	refuse := func(why actions.Reason) error { return &actions.Refusal{Reason: why, Message: "no"} }
	broken := errors.New("broken")
	const alice = `{"user":"alice","server":"x"}`
	tests := map[string]struct {
		path, body string
		err        error
		done       actions.Progress
		status     int
		message    string // a part of the answer
		last       any
	}{
		"start":                 {control.StartPath, alice, nil, 0, 200, `"ready":true`, nil},
		"start one that starts": {control.StartPath, alice, refuse(actions.Starting), 0, 200, `"ready":true`, nil},
		"start one of somebody who left": {control.StartPath, alice, refuse(actions.MayNotEnter), 0, 403,
			`"hint":"let them in again first`, nil},
		"start one that runs": {control.StartPath, alice, refuse(actions.Running), 0, 409,
			"cannot start the server: no", nil},
		"start one that stops": {control.StartPath, alice, refuse(actions.Stopping), 0, 409,
			"cannot start the server: no", nil},
		"start fails":    {control.StartPath, alice, broken, 0, 409, "cannot start the server: broken", nil},
		"start nonsense": {control.StartPath, `{"user":"../x"}`, nil, 0, 400, "cannot understand", nil},
		"stop":           {control.StopPath, alice, nil, actions.Done, 204, "", "alice:x 0s"},
		"stop a stopped one": {control.StopPath, alice, nil, actions.WasStopped, 404,
			"alice has no server that runs", "alice:x 0s"},
		"stop fails":    {control.StopPath, alice, broken, 0, 500, "broken", "alice:x 0s"},
		"stop nonsense": {control.StopPath, `{`, nil, 0, 400, "cannot understand", nil},
		"forget":        {control.ForgetPath, `{"user":"bob"}`, nil, 0, 204, "", "bob"},
		"forget nobody": {control.ForgetPath, `{"user":"bob"}`, refuse(actions.NoUser), 0, 404, "identities list",
			"bob"},
		"forget fails":   {control.ForgetPath, `{"user":"bob"}`, broken, 0, 500, "broken", "bob"},
		"forget nothing": {control.ForgetPath, `{"user":"../x"}`, nil, 0, 400, "cannot understand", nil},
		"reset":          {control.ResetPath, alice, nil, 0, 204, "", "alice:x"},
		"reset, stopped": {control.ResetPath, `{"user":"alice","stop":true}`, nil, 0, 204, "", "alice stop"},
		"reset one that runs": {control.ResetPath, alice, refuse(actions.Running), 0, 409,
			"cannot reset server alice:x: it is not stopped", "alice:x"},
		"reset one that starts": {control.ResetPath, alice, refuse(actions.Starting), 0, 409,
			"gifford-hub servers reset --stop alice:x", "alice:x"},
		"reset one that stops": {control.ResetPath, alice, refuse(actions.Stopping), 0, 409, "it is not stopped",
			"alice:x"},
		"reset nothing": {control.ResetPath, alice, refuse(actions.NothingToReset), 0, 404,
			"server alice:x has no persistent container", "alice:x"},
		"reset fails": {control.ResetPath, alice, broken, 0, 409, "cannot reset server alice:x: broken",
			"alice:x"},
		"reset nonsense": {control.ResetPath, `7`, nil, 0, 400, "cannot understand", nil},
		"token": {control.TokenPath, `{"user":"alice"}`, nil, 0, 200, `{"token":"secret","id":"a7"}`,
			"made by root for alice"},
		"token with a note": {control.TokenPath, `{"user":"alice","note":"n"}`, nil, 0, 200, `"id":"a7"`,
			"n for alice"},
		"token for nobody": {control.TokenPath, `{"user":"alice"}`, refuse(actions.NoUser), 0, 404,
			`no such user: user \"alice\" has not signed in yet`, "made by root for alice"},
		"token with too much": {control.TokenPath, `{"user":"alice"}`, refuse(actions.ExceedsRights), 0, 400, "no",
			"made by root for alice"},
		"token fails": {control.TokenPath, `{"user":"alice"}`, broken, 0, 500, "broken",
			"made by root for alice"},
		"token nonsense": {control.TokenPath, `{"user":7}`, nil, 0, 400, "cannot understand", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := &fakeDeeds{err: tt.err, done: tt.done}
			status, body, _ := send(t, d, nil, tt.path, tt.body)
			if status != tt.status || !strings.Contains(body, tt.message) {
				t.Errorf("%d %s; want %d with %q", status, body, tt.status, tt.message)
			}
			if _, isStart := d.last.(actions.StartRequest); !isStart && !cmp.Equal(d.last, tt.last) {
				t.Errorf("asked for %v, want %v", d.last, tt.last)
			}
		})
	}
}

// TestStart checks what a start passes on and sends back.
func TestStart(t *testing.T) {
	d := &fakeDeeds{}
	_, _, known := send(t, d, nil, control.StartPath, `{"user":"alice","server":"x","profile":"p","without_gpus":true}`)
	req := d.last.(actions.StartRequest)
	if req.Key.String() != "alice:x" || *req.Choice != (actions.Choice{Profile: "p", WithoutGPUs: true}) {
		t.Errorf("asked for %+v", req)
	}
	if diff := cmp.Diff([]string{"alice"}, known); diff != "" {
		t.Errorf("known (-want +got):\n%s", diff)
	}
	for why, want := range map[backend.Why]control.Progress{
		{Message: "no image", Hint: "pull it"}: {Progress: 100, Message: "no image", Hint: "pull it", Failed: true},
		{Message: "no image"}:                  {Progress: 100, Message: "no image", Failed: true}} {
		_, body, known := send(t, d, &servers.Failure{Why: why}, control.StartPath, `{"user":"alice"}`)
		var got control.Progress
		if err := json.Unmarshal([]byte(body), &got); err != nil || !cmp.Equal(want, got) || len(known) > 0 {
			t.Errorf("sent %+v, want %+v; %v; known %v", got, want, err, known)
		}
	}
}
