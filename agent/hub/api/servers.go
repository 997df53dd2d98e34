package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// slowSpawn is how long a start or stop may take before the answer is 202 instead of
// 201 or 204 (JupyterHub's slow_spawn_timeout and slow_stop_timeout).
const slowSpawn = 10 * time.Second

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

// serverBody is a request to start or make a server (JupyterHub 6).
type serverBody struct {
	displayName string         // "" for none
	options     map[string]any // nil: none given
}

// readServerBody takes both forms: JupyterHub 6's, and the older one in which the whole
// body is the options.
func readServerBody(w http.ResponseWriter, r *http.Request) (b serverBody, err error) {
	var raw map[string]any
	if err := decode(w, r, &raw); err != nil || raw == nil {
		return b, err
	}
	options, given := raw["user_options"]
	name, named := raw["display_name"]
	if !given && !named {
		return serverBody{options: raw}, nil
	}
	var ok bool
	if b.displayName, ok = name.(string); name != nil && !ok {
		return b, httpx.Fail(http.StatusBadRequest, "display_name must be a string")
	}
	if b.options, ok = options.(map[string]any); options != nil && !ok {
		return b, httpx.Fail(http.StatusBadRequest, "user_options must be an object or null")
	}
	return b, nil
}

// start answers POST on a server. Without a body the last options are used again; an empty
// object clears them.
func (a *API) start(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	body, err := readServerBody(w, r)
	if err != nil {
		return err
	}
	err = a.cfg.Actions.Start(r.Context(), c, actions.StartRequest{Key: key, DisplayName: body.displayName,
		Options: body.options})
	switch {
	case refused(err, actions.Starting):
		return a.written(w, http.StatusAccepted)
	case err != nil:
		return err
	}
	return a.awaitStart(w, r, key)
}

// showServer answers GET on one server, known or running (JupyterHub 6).
func (a *API) showServer(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	if err := a.mustKnow(r, key); err != nil {
		return err
	}
	return a.writeServer(c, w, r, http.StatusOK, key)
}

// mustKnow returns an error for a server that does not exist.
func (a *API) mustKnow(r *http.Request, key ident.Key) error {
	known, err := a.known(r.Context(), key)
	if err == nil && !known {
		return httpx.Fail(http.StatusNotFound, "%s has no server named '%s'", key.User, key.Server)
	}
	return err
}

// known reports whether a server exists: a user has the default one, those that run and those that are saved.
func (a *API) known(ctx context.Context, key ident.Key) (bool, error) {
	if key.Server.IsDefault() || a.cfg.Servers.Get(key).State.Active() {
		return true, nil
	}
	_, err := a.cfg.Records.ServerByKey(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
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
	body, err := readServerBody(w, r)
	if err != nil {
		return err
	}
	if err := a.cfg.Actions.CreateServer(r.Context(), c, key, body.displayName, body.options); err != nil {
		return instead(err, httpx.Fail(http.StatusConflict, "User %s already has a default server", key.User),
			actions.DefaultServer)
	}
	return a.writeServer(c, w, r, http.StatusCreated, key)
}

// changeServer answers PATCH on a stopped server (JupyterHub 6).
func (a *API) changeServer(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := a.findServer(r)
	if err != nil {
		return err
	}
	change, err := readServerChange(w, r)
	if err != nil {
		return err
	}
	if err := a.cfg.Actions.ChangeServer(r.Context(), c, key, change); err != nil {
		return notChanged(err, key, change.Name)
	}
	if change.Name != nil {
		key.Server = *change.Name
	}
	return a.writeServer(c, w, r, http.StatusOK, key)
}

// readServerChange reads the body of changeServer.
func readServerChange(w http.ResponseWriter, r *http.Request) (change actions.ServerChange, err error) {
	var body struct {
		Name        *string        `json:"name"`
		DisplayName *string        `json:"display_name"`
		UserOptions map[string]any `json:"user_options"`
	}
	if err := decodeStrict(w, r, &body); err != nil {
		return change, err
	}
	if body.Name == nil && body.DisplayName == nil && body.UserOptions == nil {
		return change, httpx.Fail(http.StatusBadRequest, "Must specify at least one field to modify.")
	}
	change = actions.ServerChange{DisplayName: body.DisplayName, Options: body.UserOptions}
	if body.Name != nil {
		name, err := ident.ParseServer(*body.Name)
		if err != nil {
			return change, httpx.Fail(http.StatusBadRequest, "%v", err)
		}
		change.Name = &name
	}
	return change, nil
}

// notChanged has JupyterHub's words for a change that is refused.
func notChanged(err error, key ident.Key, name *ident.Server) error {
	switch {
	case refused(err, actions.NoServer):
		return httpx.Fail(http.StatusNotFound, "User %s has no such server %s", key.User, key.Server)
	case refused(err, actions.Running, actions.Starting, actions.Stopping):
		return httpx.Fail(http.StatusBadRequest, "%s is active. Please stop it before modifying it.", key)
	case refused(err, actions.DefaultServer):
		return httpx.Fail(http.StatusBadRequest, "the default server of user %s has no name and keeps none", key.User)
	case refused(err, actions.ServerExists):
		return httpx.Fail(http.StatusConflict, "User %s already has server '%s'", key.User, name)
	}
	return err
}

// errQueued ends the wait for a start that is queued: that takes longer.
var errQueued = errors.New("queued")

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
		return httpx.Fail(http.StatusInternalServerError, "%s", s.Failure.Why)
	}
	return a.written(w, http.StatusAccepted)
}

// stop answers DELETE on a server: it stops, and with {"remove": true} a named one is
// forgotten.
func (a *API) stop(c access.Subject, w http.ResponseWriter, r *http.Request) error {
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
	var done actions.Progress
	if body.Remove {
		done, err = a.cfg.Actions.RemoveServer(r.Context(), c, key, true, slowSpawn)
	} else {
		done, err = a.cfg.Actions.Stop(r.Context(), c, key, slowSpawn)
	}
	switch {
	case err != nil:
		return instead(err, httpx.Fail(http.StatusBadRequest, "Cannot delete the default server"),
			actions.DefaultServer)
	case done == actions.Continues:
		return a.written(w, http.StatusAccepted)
	}
	return a.written(w, http.StatusNoContent)
}
