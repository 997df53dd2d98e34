package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStartByGET has when a GET starts a server: only with nothing to choose, and only
// for a person who meant it.
func TestStartByGET(t *testing.T) {
	tests := map[string]struct {
		user    string
		change  func(*setup)
		headers []string
		want    string
		started []string
	}{
		"link of our own": {"gail", oneProfile, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode",
			"navigate", "Sec-Fetch-Dest", "document", "Referer", "https://example.com/hub/home"}, "OK", nil},
		"link of one's own server": {"gail", oneProfile, []string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/user/gail/lab"}, "OK", nil},
		"link of another's server": {"gail", oneProfile, []string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/user/gailey/lab"}, "OK", nil},
		"link that hides where it is": {"gail", oneProfile, []string{"Sec-Fetch-Site", "same-origin"}, "OK", nil},
		"typed address": {"gail", oneProfile, []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode",
			"navigate"}, "See Other /hub/spawn-pending/gail?next=%2Fuser%2Fgail%2Flab", []string{"gail jupyterlab"}},
		"the browser's own headers": {"gail", oneProfile, nil,
			"See Other /hub/spawn-pending/gail?next=%2Fuser%2Fgail%2Flab", []string{"gail jupyterlab"}},
		"link of another site": {"gail", oneProfile, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode",
			"navigate"}, "OK", nil},
		"link of a sister site": {"gail", oneProfile, []string{"Sec-Fetch-Site", "same-site"}, "OK", nil},
		"picture in a notebook": {"gail", oneProfile, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode",
			"no-cors", "Sec-Fetch-Dest", "image"}, "Forbidden", nil},
		"prefetch": {"gail", oneProfile, []string{"Sec-Fetch-Site", "same-origin", "Sec-Purpose",
			"prefetch"}, "OK", nil},
		"two profiles":  {"gail", nil, nil, "OK", nil},
		"failed before": {"erin", oneProfile, nil, "OK", nil},
		"starting already": {"bob", oneProfile, nil,
			"See Other /hub/spawn-pending/bob?next=%2Fuser%2Fgail%2Flab", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, tt.change)
			if got := answer(h.do("GET", "/hub/spawn?next=/user/gail/lab", tt.user, tt.headers...)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.started, h.servers.started); diff != "" {
				t.Errorf("started: want(-) got(+):\n%s", diff)
			}
		})
	}
}

func TestStartByPOST(t *testing.T) {
	tests := map[string]struct {
		target, user string
		form         url.Values
		want         string
		started      []string
	}{
		"own": {"/hub/spawn", "gail", url.Values{"profile": {"gpu"}, "next": {"/user/gail/lab"}},
			"See Other /hub/spawn-pending/gail?next=%2Fuser%2Fgail%2Flab", []string{"gail gpu"}},
		"default profile": {"/hub/spawn", "gail", nil, "See Other /hub/spawn-pending/gail", []string{"gail "}},
		"unknown profile": {"/hub/spawn", "gail", url.Values{"profile": {"nonsense"}}, "Bad Request", nil},
		"after a failure": {"/hub/spawn/erin", "erin", url.Values{"profile": {"gpu"}},
			"See Other /hub/spawn-pending/erin", []string{"erin gpu"}},
		"it is there":      {"/hub/spawn", "alice", nil, "See Other /hub/spawn-pending/alice", nil},
		"somebody else's":  {"/hub/spawn/gail", "bob", nil, "Not Found", nil},
		"by administrator": {"/hub/spawn/gail", "dora", nil, "See Other /hub/spawn-pending/gail", []string{"gail "}},
		"stranger":         {"/hub/spawn/nobody-here", "dora", nil, "Not Found", nil},
		"form that is large": {"/hub/spawn", "gail", url.Values{"next": {strings.Repeat("x", maxForm)}}, "Bad Request",
			nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, nil)
			if got := answer(h.post(tt.target, tt.user, tt.form)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.started, h.servers.started); diff != "" {
				t.Errorf("started: want(-) got(+):\n%s", diff)
			}
		})
	}
}

// TestRedirectToServer is JupyterHub's default way of hub/.
func TestRedirectToServer(t *testing.T) {
	h := newHub(t, func(c *setup) { c.RedirectToServer = true })
	if got := answer(h.do("GET", "/hub/", "gail")); got != "Found /hub/spawn" {
		t.Errorf("%s", got)
	}
}

func TestChoiceIsKept(t *testing.T) {
	h := newHub(t, nil)
	for target, want := range map[string]string{"/hub/spawn": "jupyterlab", "/hub/spawn?profile=gpu": "gpu",
		"/hub/spawn?profile=nonsense": "jupyterlab"} {
		for _, n := range show(t, h.do("GET", target, "gail")).elements("input") {
			for _, a := range n.Attr {
				if a.Key == "checked" && attr(n, "value") != want {
					t.Errorf("%s has %q chosen", target, attr(n, "value"))
				}
			}
		}
	}
}
