package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
)

// TestHubCookiesStay checks that neither a server nor a service gets what opens the hub in its visitor's browser, with
// a WebSocket's request as little as with others.
func TestHubCookiesStay(t *testing.T) {
	var got []string
	at := socket(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header["Cookie"] }))
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), backend.UnixSocket(at, myUID()))
	service, err := p.ForService(Upstream{Name: "board", URL: "unix:" + at, Unavailable: func(w http.ResponseWriter,
		_ *http.Request, status int) {
		w.WriteHeader(status)
	}})
	if err != nil {
		t.Fatal(err)
	}
	names := cookies.New("/", true)
	for name, to := range map[string]struct {
		handler http.Handler
		target  string
	}{"server": {passing(p), "/user/alice/lab"}, "service": {service, "/services/board/"}} {
		for _, upgrade := range []string{"", "websocket"} {
			r := httptest.NewRequest(http.MethodGet, to.target, nil)
			r.Header["Cookie"] = []string{"_xsrf=a; " + names.Login() + "=secret; jupyterhub-session-id=b",
				names.Server("/user/alice/") + "=secret"}
			if upgrade != "" {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", upgrade)
			}
			got = nil
			to.handler.ServeHTTP(httptest.NewRecorder(), r)
			if diff := cmp.Diff([]string{"_xsrf=a; jupyterhub-session-id=b"}, got); diff != "" {
				t.Errorf("%s %s: want(-) got(+):\n%s", name, upgrade, diff)
			}
		}
	}
}
