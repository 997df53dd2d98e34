package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// slowSpawn is how long a start or stop may take before the answer is 202 instead of
// 201 or 204 (JupyterHub's slow_spawn_timeout and slow_stop_timeout).
const slowSpawn = 10 * time.Second

// keepAlive is how often an idle progress stream is written to (apihandlers/users.py).
const keepAlive = 8 * time.Second

// pathKey returns the server that the path names; the user's default one where it names none.
func pathKey(r *http.Request) (ident.Key, error) {
	return ident.ParseKey(r.PathValue("user"), r.PathValue("server"))
}

// findServer returns the server of the path, whose user must be known to the hub.
func (a *API) findServer(r *http.Request) (ident.Key, error) {
	if _, err := a.findUser(r); err != nil {
		return ident.Key{}, err
	}
	k, err := pathKey(r)
	if err != nil {
		return k, httpx.Fail(http.StatusBadRequest, "%v", err)
	}
	return k, nil
}

// record returns what is remembered of a server; known is false where nothing is.
func (a *API) record(ctx context.Context, k ident.Key) (rec store.Server, known bool, err error) {
	rec, err = a.cfg.Records.ServerByKey(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return store.Server{Key: k}, false, nil
	}
	return rec, err == nil, err
}

// serverBody is a request to start, make or change a server (JupyterHub 6).
type serverBody struct {
	displayName *string
	options     map[string]any // nil: none given
}

// readServerBody takes both forms: JupyterHub 6's, and the older one in which the whole
// body is the options.
func readServerBody(w http.ResponseWriter, r *http.Request) (b serverBody, err error) {
	var raw map[string]any
	if err := decode(w, r, &raw); err != nil || raw == nil {
		return b, err
	}
	text := func(key string) *string {
		v, there := raw[key]
		if !there || v == nil {
			return nil
		}
		s, ok := v.(string)
		if !ok {
			err = httpx.Fail(http.StatusBadRequest, "%s must be a string", key)
		}
		return &s
	}
	options, there := raw["user_options"]
	_, display := raw["display_name"]
	if !there && !display {
		return serverBody{options: raw}, nil
	}
	b.displayName = text("display_name")
	if m, ok := options.(map[string]any); ok {
		b.options = m
	} else if options != nil {
		err = httpx.Fail(http.StatusBadRequest, "user_options must be an object or null")
	}
	return b, err
}

// maxDisplayName bounds what pages show for a server.
const maxDisplayName = 255

// mayHave refuses a named server that the settings do not allow (base.py:
// _check_named_server_request).
func (a *API) mayHave(ctx context.Context, k ident.Key, displayName *string) error {
	if displayName != nil && len(*displayName) > maxDisplayName {
		return httpx.Fail(http.StatusBadRequest, "display_name is longer than %d bytes", maxDisplayName)
	}
	if k.Server.IsDefault() {
		return nil
	}
	if a.cfg.NamedServers == 0 {
		return httpx.Fail(http.StatusBadRequest, "Named servers are not enabled.")
	}
	if _, known, err := a.record(ctx, k); err != nil || known {
		return err
	}
	if a.cfg.NamedServers < 0 {
		return nil
	}
	all, err := a.cfg.Records.ServersOf(ctx, k.User)
	if err != nil {
		return err
	}
	named := 0
	for _, s := range all {
		if !s.Key.Server.IsDefault() {
			named++
		}
	}
	if named >= a.cfg.NamedServers {
		return httpx.Fail(http.StatusBadRequest, "User %s already has the maximum of %d named servers. One must be "+
			"deleted before a new server can be created", k.User, a.cfg.NamedServers)
	}
	return nil
}

// remember keeps a server's name for people and options.
func (a *API) remember(ctx context.Context, rec store.Server, b serverBody) (store.Server, error) {
	if b.displayName != nil && *b.displayName != "" {
		rec.DisplayName = *b.displayName
	}
	if rec.DisplayName == "" {
		rec.DisplayName = rec.Key.Server.String()
	}
	if b.options != nil {
		rec.UserOptions = b.options
	}
	return rec, a.cfg.Records.UpsertServer(ctx, rec)
}

// profileOf reads the one option that means something to the hub.
func profileOf(options map[string]any) (string, error) {
	v, there := options["profile"]
	if !there || v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", httpx.Fail(http.StatusBadRequest, "user_options.profile must be a string")
	}
	return s, nil
}

// withoutGPUs is the option of a start that asks for none of the profile's devices.
const withoutGPUs = "without_gpus"

func withoutOf(options map[string]any) (bool, error) {
	v, there := options[withoutGPUs]
	if !there || v == nil {
		return false, nil
	}
	b, ok := v.(bool)
	if !ok {
		return false, httpx.Fail(http.StatusBadRequest, "user_options.%s must be true or false", withoutGPUs)
	}
	return b, nil
}

// start answers POST on a server. Without a body the last options are used again; an empty
// object clears them.
func (a *API) start(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	body, err := readServerBody(w, r)
	if err != nil {
		return err
	}
	if err := a.mayHave(r.Context(), key, body.displayName); err != nil {
		return err
	}
	switch state := a.cfg.Servers.Get(key).State; {
	case state == servers.Ready:
		return httpx.Fail(http.StatusBadRequest, "%s is already running", fullName(key))
	case state == servers.Stopping:
		return httpx.Fail(http.StatusBadRequest, "%s is pending stop", fullName(key))
	case state == servers.Queued && body.options != nil && body.options[withoutGPUs] == true: // goes on without
	case state.Pending():
		return a.written(w, http.StatusAccepted)
	}
	rec, _, err := a.record(r.Context(), key)
	if err != nil {
		return err
	}
	options := body.options
	if options == nil {
		options = rec.UserOptions
	}
	profile, err := profileOf(options)
	if err != nil {
		return err
	}
	without, err := withoutOf(options)
	if err != nil {
		return err
	}
	if _, err := a.remember(r.Context(), rec, body); err != nil {
		return err
	}
	if err := a.cfg.Servers.Start(key, profile, servers.Options{WithoutGPUs: without}); err != nil &&
		!errors.Is(err, servers.ErrActive) {
		return err
	}
	return a.awaitStart(w, r, key)
}

// fullName is a server as JupyterHub's messages have it.
func fullName(k ident.Key) string {
	if k.Server.IsDefault() {
		return k.User.String()
	}
	return k.User.String() + ":" + k.Server.String()
}

// showServer answers GET on one server, known or running (JupyterHub 6).
func (a *API) showServer(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	if !a.known(r, key) {
		return httpx.Fail(http.StatusNotFound, "%s has no server named '%s'", key.User, key.Server)
	}
	return a.writeServer(c, w, r, http.StatusOK, key)
}

func (a *API) writeServer(c access.Subject, w http.ResponseWriter, r *http.Request, status int, key ident.Key) error {
	m, err := a.serverModel(r.Context(), c, a.cfg.Servers.Get(key))
	if err != nil {
		return err
	}
	return a.json(w, status, m)
}

// createServer answers PUT: a named server that is not started (JupyterHub 6).
func (a *API) createServer(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	if key.Server.IsDefault() {
		return httpx.Fail(http.StatusConflict, "User %s already has a default server", key.User)
	}
	rec, known, err := a.record(r.Context(), key)
	if err != nil {
		return err
	}
	if known {
		return httpx.Fail(http.StatusConflict, "User %s already has server %s", key.User, key.Server)
	}
	body, err := readServerBody(w, r)
	if err != nil {
		return err
	}
	if err := a.mayHave(r.Context(), key, body.displayName); err != nil {
		return err
	}
	if _, err := a.remember(r.Context(), rec, body); err != nil {
		return err
	}
	return a.writeServer(c, w, r, http.StatusCreated, key)
}

// changeServer answers PATCH on a stopped server (JupyterHub 6).
func (a *API) changeServer(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	var body struct {
		Name        *string        `json:"name"`
		DisplayName *string        `json:"display_name"`
		UserOptions map[string]any `json:"user_options"`
	}
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	if body.Name == nil && body.DisplayName == nil && body.UserOptions == nil {
		return httpx.Fail(http.StatusBadRequest, "Must specify at least one field to modify.")
	}
	rec, known, err := a.record(r.Context(), key)
	if err != nil {
		return err
	}
	if !known && !key.Server.IsDefault() {
		return httpx.Fail(http.StatusNotFound, "User %s has no such server %s", key.User, key.Server)
	}
	if a.cfg.Servers.Get(key).State.Active() {
		return httpx.Fail(http.StatusBadRequest, "%s is active. Please stop it before modifying it.", fullName(key))
	}
	change := serverBody{displayName: body.DisplayName, options: body.UserOptions}
	if body.Name != nil && *body.Name != key.Server.String() {
		return a.rename(c, w, r, rec, *body.Name, change)
	}
	if err := a.mayHave(r.Context(), key, body.DisplayName); err != nil {
		return err
	}
	if _, err := a.remember(r.Context(), rec, change); err != nil {
		return err
	}
	return a.writeServer(c, w, r, http.StatusOK, key)
}

// rename returns a stopped server another name: its record moves, and there is no unit yet
// that could have the old one.
func (a *API) rename(c access.Subject, w http.ResponseWriter, r *http.Request, rec store.Server, name string,
	change serverBody) error {
	old := rec.Key
	key, err := ident.ParseKey(old.User.String(), name)
	if err != nil {
		return httpx.Fail(http.StatusBadRequest, "%v", err)
	}
	if key.Server.IsDefault() || old.Server.IsDefault() {
		return httpx.Fail(http.StatusBadRequest, "the default server of user %s has no name and keeps none", key.User)
	}
	if _, known, err := a.record(r.Context(), key); err != nil || known {
		if err != nil {
			return err
		}
		return httpx.Fail(http.StatusConflict, "User %s already has server '%s'", key.User, name)
	}
	if change.displayName == nil && rec.DisplayName == old.Server.String() {
		change.displayName = &name
	}
	rec.Key = key
	if _, err := a.remember(r.Context(), rec, change); err != nil {
		return err
	}
	if err := a.cfg.Records.DeleteServer(r.Context(), old); err != nil {
		return err
	}
	return a.writeServer(c, w, r, http.StatusOK, key)
}

// errQueued ends the wait for a start that waits in the line: that takes longer.
var errQueued = errors.New("in the line")

// awaitStart answers 201 when the server gets ready soon, 202 when it takes longer and
// 500 with the reason when it fails.
func (a *API) awaitStart(w http.ResponseWriter, r *http.Request, key ident.Key) error {
	ctx, cancel := context.WithTimeout(r.Context(), slowSpawn)
	defer cancel()
	_, _ = a.cfg.Servers.Follow(ctx, key, func(p servers.Progress) error {
		if p.Queued {
			return errQueued
		}
		return nil
	})
	s := a.cfg.Servers.Get(key)
	switch {
	case s.State == servers.Ready:
		return a.written(w, http.StatusCreated)
	case s.State == servers.Failed && s.Failure != nil:
		return httpx.Fail(http.StatusInternalServerError, "%s", s.Failure.Message)
	}
	return a.written(w, http.StatusAccepted)
}

// stop answers DELETE on a server: it stops, and with {"remove": true} a named one is
// forgotten.
func (a *API) stop(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	var body struct {
		Remove bool `json:"remove"`
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	switch {
	case key.Server.IsDefault() && body.Remove:
		return httpx.Fail(http.StatusBadRequest, "Cannot delete the default server")
	case !key.Server.IsDefault() && a.cfg.NamedServers == 0 && !a.known(r, key):
		return httpx.Fail(http.StatusBadRequest, "Named servers are not enabled.")
	case !a.known(r, key):
		return httpx.Fail(http.StatusNotFound, "%s has no server named '%s'", key.User, key.Server)
	}
	ctx, cancel := context.WithTimeout(r.Context(), slowSpawn)
	defer cancel()
	err = a.cfg.Servers.Stop(ctx, key)
	if err != nil && !errors.Is(err, servers.ErrNotActive) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if body.Remove && !errors.Is(err, context.DeadlineExceeded) {
		// What was kept must not come back in a new server of the same name.
		if err := a.cfg.Servers.Reset(r.Context(), key); err != nil && !errors.Is(err, servers.ErrNothingKept) {
			return err
		}
	}
	if body.Remove {
		// A unit that takes its time ends all the same: its record is not needed for that.
		if err := a.cfg.Records.DeleteServer(r.Context(), key); err != nil {
			return err
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return a.written(w, http.StatusAccepted)
	}
	return a.written(w, http.StatusNoContent)
}

// progressEvent is one event of the stream (SpawnProgressAPIHandler).
type progressEvent struct {
	Progress    int    `json:"progress"`
	Message     string `json:"message"`
	HTMLMessage string `json:"html_message,omitempty"`
	Ready       bool   `json:"ready,omitempty"`
	Failed      bool   `json:"failed,omitempty"`
	Queued      bool   `json:"queued,omitempty"` // our own: it waits for a device
	URL         string `json:"url,omitempty"`
}

// progress streams a start as Server-Sent Events until the server is ready or has
// failed.
func (a *API) progress(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	if !a.known(r, key) {
		return httpx.Fail(http.StatusNotFound, "%s has no server named '%s'", key.User, key.Server)
	}
	if s := a.cfg.Servers.Get(key).State; s == servers.Stopped || s == servers.Stopping {
		return httpx.Fail(http.StatusBadRequest, "%s is not starting...", fullName(key))
	}
	over := a.cfg.Servers.Get(key).State == servers.Ready || a.cfg.Servers.Get(key).State == servers.Failed
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // nginx in front would hold events back
	flush := http.NewResponseController(w)
	a.stream(r.Context(), key, over, func(text string) error {
		if _, err := fmt.Fprint(w, text); err != nil {
			return err
		}
		return flush.Flush()
	})
	return nil
}

// stream writes events, and keep-alives between them, in one goroutine; of a start that is
// over, the last one alone.
func (a *API) stream(ctx context.Context, key ident.Key, over bool, write func(string) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan progressEvent)
	go func() {
		defer close(events)
		_, _ = a.cfg.Servers.Follow(ctx, key, func(p servers.Progress) error {
			if over && !p.Ready && !p.Failed {
				return nil
			}
			select {
			case events <- a.event(key, p):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		text := "\n\n"
		select {
		case e, more := <-events:
			if !more {
				return
			}
			body, _ := json.Marshal(e) // a struct of strings and numbers always encodes
			text = "data: " + string(body) + "\n\n"
		case <-tick.C:
		}
		if write(text) != nil {
			cancel()
			for range events { //nolint:revive // waits for the goroutine's end
			}
			return
		}
	}
}

func (a *API) event(key ident.Key, p servers.Progress) progressEvent {
	e := progressEvent{Progress: p.Percent, Message: p.Message, Ready: p.Ready, Failed: p.Failed, Queued: p.Queued}
	if p.Ready {
		e.URL = a.cfg.BaseURL + key.Path()[1:]
		link := html.EscapeString(e.URL)
		e.HTMLMessage = `Server ready at <a href="` + link + `">` + link + `</a>`
	}
	return e
}
