package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/printable"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Bounds of the stream of a pull: how often a browser is told, and how often an idle
// stream is written to, so that nothing between takes it for dead.
const (
	tellEvery = 200 * time.Millisecond
	pullAlive = 8 * time.Second
)

// pull is one pull that somebody asked for, as long as it goes and after.
type pull struct {
	mu      sync.Mutex // guards all below
	shown   pullView
	changed chan struct{} // closed at the next change
}

// pullView is how a pull stands, for the page and its script.
type pullView struct {
	Name    string      `json:"name"`
	Message string      `json:"message"`
	Layers  []layerView `json:"layers"`
	Over    bool        `json:"over"`
	Failed  bool        `json:"failed"`
	Hint    string      `json:"hint"`
}

// layerView is how a layer stands.
type layerView struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	Percent int    `json:"percent"`
	Known   bool   `json:"known"` // how much there is to come
	Size    string `json:"size"`  // of the layer, or what has come of it
}

// step takes a step of the keeper.
func (p *pull) step(s imagekeeper.Progress) {
	p.change(func(v *pullView) {
		if s.Layer == "" {
			v.Message = printable.Text(s.Message)
			return
		}
		l := layerView{ID: shortID(s.Layer), Message: printable.Text(s.Message), Known: s.Total > 0,
			Size: size(max(s.Total, s.Current))}
		if l.Known {
			l.Percent = int(min(100, max(0, s.Current)*100/s.Total))
		}
		if s.LayerOver() {
			l.Percent, l.Known = 100, true
		}
		at := slices.IndexFunc(v.Layers, func(o layerView) bool { return o.ID == l.ID })
		if at < 0 {
			at, v.Layers = len(v.Layers), append(v.Layers, layerView{})
		}
		if s.Total == 0 && s.Current == 0 {
			l.Size = v.Layers[at].Size // the first and last steps leave it out
		}
		v.Layers[at] = l
	})
}

// end takes the keeper's last word.
func (p *pull) end(err error) {
	p.change(func(v *pullView) {
		v.Over = true
		if err != nil {
			v.Failed, v.Message, v.Hint = true, printable.Text(err.Error()), printable.Text(keeperHint(err))
		}
	})
}

func (p *pull) change(what func(*pullView)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what(&p.shown)
	close(p.changed)
	p.changed = make(chan struct{})
}

// now returns how the pull stands, and what is closed when that has changed.
func (p *pull) now() (pullView, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.shown
	v.Layers = slices.Clone(v.Layers)
	return v, p.changed
}

// pulls are the pulls by name; of each the last one.
type pulls struct {
	mu  sync.Mutex // guards all
	all map[string]*pull
}

func (ps *pulls) of(name string) (*pull, bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p, ok := ps.all[name]
	return p, ok
}

// begin makes a pull unless one of that name goes on.
func (ps *pulls) begin(name string) (p *pull, begun bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.all[name]; p != nil {
		if v, _ := p.now(); !v.Over {
			return p, false
		}
	}
	p = &pull{shown: pullView{Name: name, Message: "Asking the registry …"}, changed: make(chan struct{})}
	if ps.all == nil {
		ps.all = map[string]*pull{}
	}
	ps.all[name] = p
	return p, true
}

// pullImage is POST hub/admin/images/pull: the field name. The pull goes on when the
// browser is gone.
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
	p, begun := s.pulls.begin(name)
	if begun {
		s.cfg.Audit(r, Deed{Action: PullImage, By: m.User, Detail: name})
		s.cfg.Background(func(ctx context.Context) {
			err := s.cfg.Keeper.Pull(ctx, name, p.step)
			if err != nil {
				s.cfg.Log.Error("cannot pull an image", "event", "image-pull-failed", "image", name, "error",
					err.Error())
			}
			p.end(err)
		})
	}
	redirect(w, http.StatusSeeOther, s.pullURL("pull", name))
	return nil
}

// checkPullable refuses names that the page does not offer; the keeper holds them against
// the policy itself.
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

// pullPage shows how a pull goes.
func (s *Web) pullPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	p, err := s.findPull(m, r)
	if err != nil {
		return err
	}
	v, _ := p.now()
	shown := page{Name: "pull", Title: "Pulling an image", Member: m, Body: pullBody{v, s.pullURL("progress", v.Name)}}
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

// pullProgress streams how a pull stands as Server-Sent Events, until it is over.
func (s *Web) pullProgress(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	p, err := s.findPull(m, r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx in front would hold events back
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

// waitForChange waits until there is news, but no less than tellEvery. It gives false when
// the browser is gone.
func (s *Web) waitForChange(ctx context.Context, changed <-chan struct{}, tick <-chan time.Time,
	alive func() error) bool {
	least := time.NewTimer(tellEvery)
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
