package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// redrawEvery bounds how often a terminal is drawn: a slow line must not slow the pull.
const redrawEvery = 100 * time.Millisecond

// steps shows how a pull goes. What has come to its end is written once, above; on a
// terminal the layers that are on their way stand below in a line each and are drawn again,
// so that an image of more layers than the terminal has lines does no harm.
type steps struct {
	w      io.Writer
	width  func() int             // of the terminal; nil when there is none
	layers []imagekeeper.Progress // on their way
	over   map[[2]string]bool     // image and layer that have come
	drawn  int                    // lines that stand below
	last   time.Time
}

func newSteps(w io.Writer) *steps {
	s := &steps{w: w, over: map[[2]string]bool{}}
	f, ok := w.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.width = func() int {
			if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 1 {
				return columns
			}
			return 80
		}
	}
	return s
}

// step takes one step.
func (s *steps) step(p imagekeeper.Progress) {
	if p.Layer == "" {
		s.say(whole(p))
		return
	}
	which := [2]string{p.Image, p.Layer}
	at := slices.IndexFunc(s.layers, func(l imagekeeper.Progress) bool {
		return l.Image == p.Image &&
			l.Layer == p.Layer
	})
	if at >= 0 && p.Total == 0 {
		p.Total = s.layers[at].Total // the last step leaves it out
	}
	switch {
	case s.over[which]: // what more is said of it is nothing new
	case p.LayerOver():
		if at >= 0 {
			s.layers = slices.Delete(s.layers, at, at+1)
		}
		s.over[which], p.Current = true, p.Total
		s.say(layerLine(p))
	case at < 0:
		s.layers = append(s.layers, p)
		if s.width == nil {
			s.say(layerLine(p))
		}
	default:
		s.layers[at] = p
	}
	s.draw(false)
}

// end leaves the layers that never came to an end as they stand.
func (s *steps) end() { s.draw(true) }

// say writes a line for good, above the layers that are on their way.
func (s *steps) say(line string) {
	s.wipe()
	_, _ = fmt.Fprintln(s.w, line)
	s.draw(true)
}

// wipe takes the lines below away: up to the first of them, and all from there (ECMA-48
// CPL and ED).
func (s *steps) wipe() {
	if s.drawn > 0 {
		_, _ = fmt.Fprintf(s.w, "\x1b[%dF\x1b[J", s.drawn)
		s.drawn = 0
	}
}

func (s *steps) draw(now bool) {
	if s.width == nil || !now && time.Since(s.last) < redrawEvery {
		return
	}
	s.wipe()
	s.last, s.drawn = time.Now(), len(s.layers)
	width := s.width() - 1 // a full line would wrap, and count twice
	for _, l := range s.layers {
		line := []rune(layerLine(l))
		_, _ = fmt.Fprintln(s.w, string(line[:min(len(line), width)]))
	}
}

// whole is a step of the whole image.
func whole(p imagekeeper.Progress) string {
	if p.Image == "" || strings.Contains(p.Message, p.Image) {
		return p.Message
	}
	return p.Image + ": " + p.Message
}

func layerLine(p imagekeeper.Progress) string {
	line := shortDigest(p.Layer) + " " + p.Message
	switch {
	case p.Total > 0 && p.Current < p.Total:
		line += fmt.Sprintf(" %3d%% of %s", p.Current*100/p.Total, size(p.Total))
	case p.Total > 0:
		line += " " + size(p.Total)
	case p.Current > 0:
		line += " " + size(p.Current)
	}
	return line
}

// shortDigest is the beginning of a digest without its algorithm.
func shortDigest(d string) string {
	if _, hex, ok := strings.Cut(d, ":"); ok {
		d = hex
	}
	return shortID(d)
}
