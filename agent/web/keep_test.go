package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/cull"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

var _ culler = (*cull.Culler)(nil)

// fakeCuller has announced the end of some servers.
type fakeCuller struct {
	notices map[ident.Key]cull.Notice
	kept    []string
}

func (f *fakeCuller) Notice(k ident.Key) (cull.Notice, bool) {
	n, ok := f.notices[k]
	return n, ok
}

func (f *fakeCuller) Keep(k ident.Key) { f.kept = append(f.kept, k.String()) }

func TestNoticeOnHome(t *testing.T) {
	at := now.Add(9*time.Minute + 30*time.Second)
	tests := map[string]struct {
		notices map[ident.Key]cull.Notice
		want    []string
		without []string
	}{
		"none":      {nil, nil, []string{"will be stopped", "/hub/keep"}},
		"another's": {map[ident.Key]cull.Notice{key("bob"): {At: at, Reason: cull.ReasonIdle}}, nil, []string{"will be stopped"}},
		"idle": {map[ident.Key]cull.Notice{key("alice"): {At: at, Reason: cull.ReasonIdle}},
			[]string{"will be stopped at", ">" + at.Local().Format("15:04") + "<", "in 9 minutes", "nobody uses it", `<form method="post" action="/hub/keep">`}, nil},
		"too old": {map[ident.Key]cull.Notice{key("alice"): {At: at, Reason: cull.ReasonMaxAge}},
			[]string{"will be stopped at", "it has run for so long"}, []string{"/hub/keep"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, func(c *Config) { c.Cull = &fakeCuller{notices: tt.notices} })
			text := body(t, h.do("GET", "/hub/home", "alice"))
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("the page lacks %q:\n%s", want, text)
				}
			}
			for _, not := range tt.without {
				if strings.Contains(text, not) {
					t.Errorf("the page holds %q", not)
				}
			}
		})
	}
}

func TestKeep(t *testing.T) {
	f := &fakeCuller{}
	h := newHub(t, func(c *Config) { c.Cull = f })
	if resp := h.post("/hub/keep", "alice", nil); answer(resp) != "See Other /hub/home" {
		t.Errorf("keep: %s", answer(resp))
	}
	if resp := h.do("POST", "/hub/keep", "alice", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %s", answer(resp))
	}
	if diff := cmp.Diff([]string{"alice"}, f.kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}
