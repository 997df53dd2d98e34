package gpus

import (
	"math"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// Bounds of texts, in characters: what is longer is cut.
const (
	maxWord = 120
	maxText = 1000
)

// harmless returns g with texts that neither a terminal nor a page misreads, and with
// numbers that JSON can carry. Nothing that g refers to is changed.
func harmless(g backend.GPUs) backend.GPUs {
	h := backend.GPUs{Measured: g.Measured, ToolError: printable.Line(g.ToolError, maxText)}
	for _, b := range g.Broken {
		h.Broken = append(h.Broken, backend.BrokenSpec{File: printable.Line(b.File, maxText),
			Error: printable.Line(b.Error, maxText)})
	}
	for _, d := range g.Devices {
		d.Name, d.Model, d.Health = printable.Line(d.Name, maxWord), printable.Line(d.Model, maxWord),
			printable.Line(d.Health, maxText)
		d.Now, d.Hour, d.Busiest = load(d.Now), load(d.Hour), load(d.Busiest)
		all := d.Strangers
		d.Strangers = nil
		for _, p := range all {
			p.Command, p.Unit = printable.Line(p.Command, maxWord), printable.Line(p.Unit, maxWord)
			d.Strangers = append(d.Strangers, p)
		}
		h.Devices = append(h.Devices, d)
	}
	return h
}

// load bounds the share, which may come as any number, to 0 to 1.
func load(l backend.Load) backend.Load {
	if math.IsNaN(l.Busy) {
		l.Busy = 0
	}
	l.Busy = min(max(l.Busy, 0), 1)
	return l
}
