package operator

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// start starts a user's server and sends how it goes, one JSON object a line, until it is ready or has failed. A
// start that is under way already is followed.
func (o *Operator) start(w http.ResponseWriter, r *http.Request) error {
	var req control.StartRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	key := ident.Key{User: req.User, Server: req.Server}
	err := o.cfg.Actions.Start(r.Context(), o.cfg.Subject(r.Context()), actions.StartRequest{Key: key,
		Choice: &actions.Choice{Profile: req.Profile, WithoutGPUs: req.WithoutGPUs}})
	if reason(err) == actions.MayNotEnter {
		return &httpx.Error{Status: http.StatusForbidden, Public: err.Error(), Hint: actions.LetIn}
	}
	if err != nil && reason(err) != actions.Starting {
		return &httpx.Error{Status: http.StatusConflict, Public: "cannot start the server", Cause: err}
	}
	o.follow(w, r, key)
	return nil
}

// reason returns the reason of a refusal, "" for another error.
func reason(err error) actions.Reason {
	var refused *actions.Refusal
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}

// follow sends the steps of a start.
func (o *Operator) follow(w http.ResponseWriter, r *http.Request, key ident.Key) {
	w.Header().Set("Content-Type", "application/jsonl")
	flush, enc := http.NewResponseController(w), json.NewEncoder(w)
	_, err := o.cfg.Servers.Follow(r.Context(), key, func(p servers.Progress) error {
		step := control.Progress{Progress: p.Percent, Message: p.Message, Failed: p.Failed, Ready: p.Ready}
		if p.Failed {
			step.Message, step.Hint = o.failure(key, p.Message)
		}
		if p.Ready {
			if err := o.cfg.Know(r.Context(), key.User); err != nil {
				o.cfg.Log.Warn("cannot note whose a server is", "event", "user-unwritten", "user", key.User.String(),
					"error", err.Error())
			}
		}
		if err := enc.Encode(step); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil {
		o.cfg.Log.Debug("command left before the start was over", "event", "operator-gone", "error", err.Error())
	}
}

// failure returns the reason of a failed start and the next step.
func (o *Operator) failure(key ident.Key, otherwise string) (message, step string) {
	f := o.cfg.Servers.Get(key).Failure
	if f == nil {
		return otherwise, ""
	}
	return f.Message, f.Hint
}

// stop stops a user's server and waits until its unit is gone.
func (o *Operator) stop(w http.ResponseWriter, r *http.Request) error {
	var req control.StopRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	key := ident.Key{User: req.User, Server: req.Server}
	done, err := o.cfg.Actions.Stop(r.Context(), o.cfg.Subject(r.Context()), key, 0)
	switch {
	case err != nil:
		return err
	case done == actions.WasStopped:
		return httpx.Fail(http.StatusNotFound, "%s has no server that runs", req.User)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// reset removes the persistent containers of a server.
func (o *Operator) reset(w http.ResponseWriter, r *http.Request) error {
	var req control.ResetRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	key := ident.Key{User: req.User, Server: req.Server}
	err := o.cfg.Actions.Reset(r.Context(), o.cfg.Subject(r.Context()), key, req.Stop)
	switch reason(err) {
	case actions.Running, actions.Starting, actions.Stopping:
		return &httpx.Error{Status: http.StatusConflict, Public: "cannot reset server " + key.String() +
			": it is not stopped", Hint: "gifford-hub servers reset --stop " + key.String()}
	case actions.NothingToReset:
		return httpx.Fail(http.StatusNotFound, "server %s has no persistent container", key)
	}
	if err != nil {
		return &httpx.Error{Status: http.StatusConflict, Public: "cannot reset server " + key.String(), Cause: err}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
