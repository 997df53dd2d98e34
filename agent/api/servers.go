package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// slowSpawn is how long a start or stop may take before the answer is 202 instead of
// 201 or 204 (JupyterHub's slow_spawn_timeout and slow_stop_timeout).
const slowSpawn = 10 * time.Second

// keepAlive is how often an idle progress stream is written to (apihandlers/users.py).
const keepAlive = 8 * time.Second

// pathKey gives the default server of the user in the path.
func pathKey(r *http.Request) (ident.Key, error) { return ident.ParseKey(r.PathValue("user"), "") }

// startBody is a server's user options; the whole body is the options unless
// user_options stands in it (JupyterHub 6).
type startBody struct {
	Profile     string `json:"profile"`
	UserOptions *struct {
		Profile string `json:"profile"`
	} `json:"user_options"`
}

func (a *API) start(_ Caller, w http.ResponseWriter, r *http.Request) error {
	key, err := pathKey(r)
	if err != nil {
		return err
	}
	var body startBody
	if err := decode(w, r, &body); err != nil {
		return err
	}
	profile := body.Profile
	if body.UserOptions != nil {
		profile = body.UserOptions.Profile
	}
	switch state := a.cfg.Servers.Get(key).State; {
	case state == servers.Ready:
		return httpx.Fail(http.StatusBadRequest, "%s is already running", key)
	case state == servers.Stopping:
		return httpx.Fail(http.StatusBadRequest, "%s is pending stop", key)
	case !state.Pending():
		if err := a.cfg.Servers.Start(key, profile); err != nil && !errors.Is(err, servers.ErrActive) {
			return err
		}
	}
	return a.awaitStart(w, r, key)
}

// awaitStart answers 201 when the server gets ready soon, 202 when it takes longer and
// 500 with the reason when it fails.
func (a *API) awaitStart(w http.ResponseWriter, r *http.Request, key ident.Key) error {
	ctx, cancel := context.WithTimeout(r.Context(), slowSpawn)
	defer cancel()
	_, _ = a.cfg.Servers.Follow(ctx, key, func(servers.Progress) error { return nil })
	s := a.cfg.Servers.Get(key)
	w.Header().Set("Content-Type", "text/plain")
	switch {
	case s.State == servers.Ready:
		w.WriteHeader(http.StatusCreated)
	case s.State == servers.Failed && s.Failure != nil:
		return httpx.Fail(http.StatusInternalServerError, "%s", s.Failure.Message)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
	return nil
}

func (a *API) stop(_ Caller, w http.ResponseWriter, r *http.Request) error {
	key, err := pathKey(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), slowSpawn)
	defer cancel()
	err = a.cfg.Servers.Stop(ctx, key)
	w.Header().Set("Content-Type", "text/plain")
	switch {
	case err == nil, errors.Is(err, servers.ErrNotActive):
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, context.DeadlineExceeded):
		w.WriteHeader(http.StatusAccepted)
	default:
		return err
	}
	return nil
}

// progressEvent is one event of the stream (SpawnProgressAPIHandler).
type progressEvent struct {
	Progress    int    `json:"progress"`
	Message     string `json:"message"`
	HTMLMessage string `json:"html_message,omitempty"`
	Ready       bool   `json:"ready,omitempty"`
	Failed      bool   `json:"failed,omitempty"`
	URL         string `json:"url,omitempty"`
}

// progress streams a start as Server-Sent Events until the server is ready or has
// failed.
func (a *API) progress(_ Caller, w http.ResponseWriter, r *http.Request) error {
	key, err := pathKey(r)
	if err != nil {
		return err
	}
	if s := a.cfg.Servers.Get(key).State; s == servers.Stopped || s == servers.Stopping {
		return httpx.Fail(http.StatusBadRequest, "%s is not starting", key)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // nginx in front would hold events back
	flush := http.NewResponseController(w)
	a.stream(r.Context(), key, func(text string) error {
		if _, err := fmt.Fprint(w, text); err != nil {
			return err
		}
		return flush.Flush()
	})
	return nil
}

// stream writes events, and keep-alives between them, in one goroutine.
func (a *API) stream(ctx context.Context, key ident.Key, write func(string) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan progressEvent)
	go func() {
		defer close(events)
		_, _ = a.cfg.Servers.Follow(ctx, key, func(p servers.Progress) error {
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
	e := progressEvent{Progress: p.Percent, Message: p.Message, Ready: p.Ready, Failed: p.Failed}
	if p.Ready {
		e.URL = a.cfg.BaseURL + key.Path()[1:]
		link := html.EscapeString(e.URL)
		e.HTMLMessage = `Server ready at <a href="` + link + `">` + link + `</a>`
	}
	return e
}
