package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFigure(t *testing.T) {
	two := 2.0
	tests := map[string]struct {
		peerName   string
		ours, peer []float64
		want       figure
	}{
		"no peer":   {"", []float64{3, 1, 2, 4, 5}, nil, figure{Value: 3, Ours: 3, Rounds: 5, Spread: 2.0 / 3}},
		"one round": {"", []float64{7}, nil, figure{Value: 7, Ours: 7, Rounds: 1}},
		// Round by round the values are 0.5, 2 and 0.5; a quotient of medians would be 1.
		"paired": {"p", []float64{1, 4, 2}, []float64{2, 2, 4},
			figure{Value: 0.5, Ours: 2, Peer: &two, PeerName: "p", Rounds: 3, Spread: 1.5}},
		"zero": {"", []float64{0, 0}, nil, figure{Rounds: 2}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.want.Name, tt.want.Unit = "x", "s"
			got, err := newFigure("x", "s", tt.peerName, tt.ours, tt.peer)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFigureErrors(t *testing.T) {
	tests := map[string]struct{ ours, peer []float64 }{
		"no rounds":         {nil, nil},
		"a round is missed": {[]float64{1, 2}, []float64{1}},
		"a peer of nothing": {[]float64{1}, []float64{0}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if f, err := newFigure("x", "s", "p", tt.ours, tt.peer); err == nil {
				t.Errorf("got %+v, want an error", f)
			}
		})
	}
}

func TestOutput(t *testing.T) {
	var out strings.Builder
	fs := figures{out: &out}
	if err := fs.add("start", "s", "podman", []float64{0.5}, []float64{50}); err != nil {
		t.Fatal(err)
	}
	want := "start                                         0.5 s    podman 50 s  ours/peer 0.01  (rounds 1, spread " +
		"0.00)\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
	data, err := json.Marshal(fs.all)
	if err != nil {
		t.Fatal(err)
	}
	wantJSON := `[{"name":"start","value":0.01,"unit":"s","ours":0.5,"peer":50,` +
		`"peer_name":"podman","rounds":1,"spread":0}]`
	if d := cmp.Diff(wantJSON, string(data)); d != "" {
		t.Error(d)
	}
}

func TestParseSizes(t *testing.T) {
	got, err := parseSizes("")
	if d := cmp.Diff([]float64{0.1, 1.4, 8}, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"big", "0", "-1", "900"} {
		if got, err := parseSizes(bad); err == nil {
			t.Errorf("%q gives %v, want an error", bad, got)
		}
	}
}
