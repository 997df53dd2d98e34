package web

import (
	"slices"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/printable"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// pull is one pull that somebody asked for, while it runs and afterwards.
type pull struct {
	mu      sync.Mutex // guards all below
	shown   pullView
	changed chan struct{} // closed at the next change
}

// pullView is the state of a pull, for the page and its script.
type pullView struct {
	Name    string      `json:"name"`
	Message string      `json:"message"`
	Layers  []layerView `json:"layers"`
	Over    bool        `json:"over"`
	Failed  bool        `json:"failed"`
	Hint    string      `json:"hint"`
}

// layerView is the state of a layer.
type layerView struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	Percent int    `json:"percent"`
	Known   bool   `json:"known"` // whether Percent is
	Size    string `json:"size"`  // of the layer, or of what was fetched of it
}

// step takes a report of the image keeper.
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
			l.Size = v.Layers[at].Size // the first and last reports of a layer have none
		}
		v.Layers[at] = l
	})
}

// end takes the result of the pull.
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

// now returns the state of the pull, and a channel that is closed at the next change.
func (p *pull) now() (pullView, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.shown
	v.Layers = slices.Clone(v.Layers)
	return v, p.changed
}

// pulls are the pulls by name; of each name the last one.
type pulls struct {
	mu  sync.Mutex // guards all below
	all map[string]*pull
}

func (ps *pulls) of(name string) (*pull, bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p, ok := ps.all[name]
	return p, ok
}

// begin makes a pull, unless one of that name runs.
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
