package api

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// keepAlive is how often an idle progress stream is written to (apihandlers/users.py).
const keepAlive = 8 * time.Second

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
	if err := a.mustKnow(r, key); err != nil {
		return err
	}
	if s := a.cfg.Servers.Get(key).State; s == servers.Stopped || s == servers.Stopping {
		return httpx.Fail(http.StatusBadRequest, "%s is not starting...", key)
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
