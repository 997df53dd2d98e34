package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// Times of the stream of a pull.
const (
	updateEvery = 200 * time.Millisecond // at most five updates a second
	pullAlive   = 8 * time.Second        // something is sent this often, so that no proxy closes the connection
)

// pullImage is POST hub/admin/images/pull: the field name. The pull continues without the browser.
func (s *Web) pullImage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Admin() {
		return errNotFound()
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	name := r.PostFormValue("name")
	if err := s.checkPullable(r.Context(), name); err != nil {
		return err
	}
	var p *pull
	var begun bool
	err := s.cfg.Actions.PullImage(r.Context(), m, name, func() bool { p, begun = s.pulls.begin(name); return begun })
	if err != nil {
		return inOurWords(err)
	}
	if begun {
		s.cfg.Background(func(ctx context.Context) { s.runPull(ctx, name, p) })
	}
	httpx.Redirect(w, http.StatusSeeOther, s.pullURL(name))
	return nil
}

// runPull pulls an image and reports to p.
func (s *Web) runPull(ctx context.Context, name string, p *pull) {
	err := s.cfg.Keeper.PullDetached(ctx, name, p.step)
	if err != nil {
		s.cfg.Log.Error("cannot pull an image", "event", "image-pull-failed", "image", name, "error", err.Error())
	}
	p.end(err)
}

// checkPullable refuses names that the page does not offer. The image keeper checks them against the policy itself.
func (s *Web) checkPullable(ctx context.Context, name string) error {
	rows, _, problem := s.imageRows(ctx)
	if problem != nil {
		return &httpx.Error{Status: http.StatusServiceUnavailable, Public: problem.Message, Hint: problem.Hint}
	}
	if !slices.ContainsFunc(rows, func(i imageRow) bool { return i.MayPull && i.Name == name }) {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "there is no image of that name to pull",
			Hint: "go back to the page of images and choose another"}
	}
	return nil
}

// pullPage shows the state of a pull.
func (s *Web) pullPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	p, err := s.findPull(m, r)
	if err != nil {
		return err
	}
	v, _ := p.now()
	shown := page{Name: "pull", Title: "Pulling an image", Member: m, Body: pullBody{v,
		s.streamURL(m, s.hub+"admin/images/progress", url.Values{"name": {v.Name}})}}
	if !v.Over {
		shown.Refresh, shown.NoJS = refreshHome, true
	}
	s.render(w, r, http.StatusOK, shown)
	return nil
}

// pullBody is the page of a pull.
type pullBody struct {
	pullView
	Progress string // URL path of the stream of events
}

func (s *Web) findPull(m access.Subject, r *http.Request) (*pull, error) {
	p, ok := s.pulls.of(r.URL.Query().Get("name"))
	if !m.Admin() || !ok {
		return nil, errNotFound()
	}
	return p, nil
}

// pullProgress streams the states of a pull as Server-Sent Events, until it is over.
func (s *Web) pullProgress(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	p, err := s.findPull(m, r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // else nginx in front buffers events
	flush := http.NewResponseController(w)
	write := func(text string) error {
		_, err := fmt.Fprint(w, text)
		return errors.Join(err, flush.Flush())
	}
	alive := time.NewTicker(pullAlive)
	defer alive.Stop()
	for {
		v, changed := p.now()
		body, _ := json.Marshal(v) // strings, numbers and booleans always encode
		if write("data: "+string(body)+"\n\n") != nil || v.Over {
			return nil // over, or the browser is gone
		}
		if !s.waitForChange(r.Context(), changed, alive.C, func() error { return write(": alive\n\n") }) {
			return nil
		}
	}
}

// waitForChange waits for a change, and for updateEvery at least. It reports whether the browser is still there.
func (s *Web) waitForChange(ctx context.Context, changed <-chan struct{}, tick <-chan time.Time,
	alive func() error) bool {
	least := time.NewTimer(updateEvery)
	defer least.Stop()
	for soon := least.C; ; {
		news := changed
		if soon != nil {
			news = nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-soon:
			soon = nil
		case <-tick:
			if alive() != nil {
				return false
			}
		case <-news:
			return true
		}
	}
}
