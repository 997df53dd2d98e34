package gpus

import (
	"math"
	"strings"
	"unicode"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
)

// Bounds of texts, in characters: what is longer is cut.
const (
	maxWord = 120
	maxText = 1000
)

// harmless gives g with texts that neither a terminal nor a page misreads, and with
// numbers that JSON can carry. Nothing that g refers to is changed.
func harmless(g backend.GPUs) backend.GPUs {
	h := backend.GPUs{Measured: g.Measured, ToolError: plain(g.ToolError, maxText)}
	for _, b := range g.Broken {
		h.Broken = append(h.Broken, backend.BrokenSpec{File: plain(b.File, maxText),
			Error: plain(b.Error, maxText)})
	}
	for _, d := range g.Devices {
		d.Name, d.Model, d.Health = plain(d.Name, maxWord), plain(d.Model, maxWord), plain(d.Health, maxText)
		d.Now, d.Hour, d.Busiest = load(d.Now), load(d.Hour), load(d.Busiest)
		all := d.Strangers
		d.Strangers = nil
		for _, p := range all {
			p.Command, p.Unit = plain(p.Command, maxWord), plain(p.Unit, maxWord)
			d.Strangers = append(d.Strangers, p)
		}
		h.Devices = append(h.Devices, d)
	}
	return h
}

// plain takes what is no UTF-8, control characters and those that turn the direction of
// writing out of a text, makes one line of it and bounds it.
func plain(s string, most int) string {
	if len(s) > 8*most { // before the work; a character has at most four bytes
		s = s[:8*most]
	}
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t':
			return ' '
		case unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || unicode.Is(unicode.Zl, c) ||
			unicode.Is(unicode.Zp, c):
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if short := []rune(s); len(short) > most {
		return string(short[:most-1]) + "…"
	}
	return s
}

// load keeps a share between none and all.
func load(l backend.Load) backend.Load {
	if math.IsNaN(l.Busy) {
		l.Busy = 0
	}
	l.Busy = min(max(l.Busy, 0), 1)
	return l
}
