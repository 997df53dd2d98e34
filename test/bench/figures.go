package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// figure is one object of dist/bench.json. docs/performance.md defines the fields.
type figure struct {
	Name     string   `json:"name"`
	Value    float64  `json:"value"` // median of ours/peer round by round; of ours where there is no peer
	Unit     string   `json:"unit"`  // of ours and peer
	Ours     float64  `json:"ours"`  // median
	Peer     *float64 `json:"peer"`  // median; null without a peer
	PeerName string   `json:"peer_name"`
	Rounds   int      `json:"rounds"`
	Spread   float64  `json:"spread"` // interquartile range of the rounds' values over their median
}

// newFigure summarises the rounds. Both lists are in the order of the rounds; peer is empty
// where there is none.
func newFigure(name, unit, peerName string, ours, peer []float64) (figure, error) {
	f := figure{Name: name, Unit: unit, PeerName: peerName, Rounds: len(ours)}
	if len(ours) == 0 || peerName != "" && len(peer) != len(ours) {
		return f, fmt.Errorf("%s has %d rounds of ours and %d of the peer", name, len(ours), len(peer))
	}
	values := slices.Clone(ours)
	f.Ours = quantile(ours, 0.5)
	if peerName != "" {
		for i, p := range peer {
			if p == 0 {
				return f, errors.New(name + ": the peer's figure is 0")
			}
			values[i] /= p
		}
		median := quantile(peer, 0.5)
		f.Peer = &median
	}
	f.Value = quantile(values, 0.5)
	if f.Value != 0 {
		f.Spread = (quantile(values, 0.75) - quantile(values, 0.25)) / f.Value
	}
	return f, nil
}

// quantile interpolates between the two nearest values, as most programs do (Hyndman and
// Fan's type 7).
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// figures collects all of a run.
type figures struct {
	out io.Writer
	all []figure
}

// add prints a figure as one line.
func (fs *figures) add(name, unit, peerName string, ours, peer []float64) error {
	f, err := newFigure(name, unit, peerName, ours, peer)
	if err != nil {
		return err
	}
	fs.all = append(fs.all, f)
	line := fmt.Sprintf("%-38s %10.4g %-3s", f.Name, f.Ours, f.Unit)
	if f.Peer != nil {
		line += fmt.Sprintf("  %s %.4g %s  ours/peer %.3g", f.PeerName, *f.Peer, f.Unit, f.Value)
	}
	_, err = fmt.Fprintf(fs.out, "%s  (rounds %d, spread %.2f)\n", line, f.Rounds, f.Spread)
	return err
}

// write writes dist/bench.json.
func (fs *figures) write(file string) error {
	if file == "" {
		return errors.New("BENCH_JSON must name the file to write; test/bench/run sets it")
	}
	data, err := json.MarshalIndent(fs.all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
