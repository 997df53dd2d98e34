package hub

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
)

// TestByOrigin asks for each kind of path at each kind of host.
func TestByOrigin(t *testing.T) {
	const hub, alice, board = "hub.example.org", "alice.hub.example.org", "board--service.hub.example.org"
	at, err := origins.New("https://"+hub+"/x/", "https://{user}."+hub)
	if err != nil {
		t.Fatal(err)
	}
	h := byOrigin{at, "/x/", named("answered")}
	navigate := []string{"Sec-Fetch-Mode", "navigate"}
	script := []string{"Sec-Fetch-Mode", "cors"}
	token := []string{"Authorization", "token x"}
	for name, tt := range map[string]struct {
		host, target string
		header       []string
		want         string // "answered", the Location, or "421"
	}{
		"alice's server": {alice, "/x/user/alice/lab?a=%2F", navigate, "answered"},
		"its API":        {alice, "/x/user/alice/api", script, "answered"},
		"at the hub": {hub, "/x/user/alice/lab?a=%2F", navigate,
			"https://" + alice + "/x/user/alice/lab?a=%2F"},
		"at the hub, a script":  {hub, "/x/user/alice/api", script, "421"},
		"at the hub, a program": {hub, "/x/user/alice/api", token, "answered"},
		"at the hub, a link with it": {hub, "/x/user/alice/lab?token=x", navigate,
			"https://" + alice + "/x/user/alice/lab?token=x"},
		"a program that navigates": {hub, "/x/user/alice/lab", append(navigate, token...),
			"https://" + alice + "/x/user/alice/lab"},
		"at another member": {"bob.hub.example.org", "/x/user/alice/lab", navigate,
			"https://" + alice + "/x/user/alice/lab"},
		"at another, a program":   {"bob.hub.example.org", "/x/user/alice/api", token, "421"},
		"at another, a script":    {"bob.hub.example.org", "/x/user/alice/api", script, "421"},
		"escaped":                 {alice, "/x/user/%61lice/lab", navigate, "answered"},
		"no name":                 {hub, "/x/user/..%2f/lab", navigate, "answered"},
		"the hub's pages":         {hub, "/x/hub/home", navigate, "answered"},
		"at alice's":              {alice, "/x/hub/home", navigate, "https://" + hub + "/x/hub/home"},
		"by a script of alice's":  {alice, "/x/hub/api/user", script, "421"},
		"by a program at alice's": {alice, "/x/hub/api/user", token, "421"},
		"a form of alice's":       {alice, "/x/hub/token", append([]string{"POST", ""}, navigate...), "421"},
		"outside the base":        {alice, "/", navigate, "https://" + hub + "/"},
		"a service":               {board, "/x/services/board/", navigate, "answered"},
		"a service at the hub":    {hub, "/x/services/board/", navigate, "https://" + board + "/x/services/board/"},
		"a service at alice's":    {alice, "/x/services/board/", script, "421"},
		"without Sec-Fetch": {hub, "/x/user/alice/lab", []string{"Accept", "text/html"},
			"https://" + alice + "/x/user/alice/lab"},
		"a program without": {hub, "/x/user/alice/lab", nil, "421"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			r.Host = tt.host
			for i := 0; i < len(tt.header); i += 2 {
				if tt.header[i] == "POST" {
					r.Method = http.MethodPost
					continue
				}
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got := w.Body.String()
			switch w.Code {
			case http.StatusFound:
				got = w.Header().Get("Location")
			case http.StatusMisdirectedRequest:
				if !strings.Contains(got, "is answered at https://") {
					t.Errorf("the refusal says %s", got)
				}
				got = "421"
			}
			if got != tt.want {
				t.Errorf("%s%s: %s, want %s", tt.host, tt.target, got, tt.want)
			}
		})
	}
}
