package hub

import (
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/hosts"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
)

// Where metrics are below the base URL, both as JupyterHub has them.
const (
	metricsPath    = "hub/metrics"
	metricsAPIPath = "hub/api/metrics"
)

// healthPath is below the base URL too.
const healthPath = "hub/health"

// routing is which handler answers what.
type routing struct {
	base                                             string // "/" or "/x/"
	origins                                          origins.Origins
	pages, api, metrics, servers, services, operator http.Handler
}

// public answers on the listeners that browsers reach. There is no mux in front of the proxy: a mux would clean paths,
// which is the servers' own matter.
func (t routing) public() http.Handler {
	if t.origins.Separate() {
		return byOrigin{t.origins, t.base, t.byPath()}
	}
	return t.byPath()
}

// named answers as public does, to requests by the hub's names. Whether the hub lives may be asked by any name:
// balancers and monitors ask an address.
func (t routing) named(g given) http.Handler {
	ours := hosts.New(hosts.Config{PublicURL: g.cfg.HTTP.PublicURL, Others: g.cfg.HTTP.Hosts, Below: t.origins.Below})
	checked, byPath := httpx.WithHost(g.log, ours, t.public()), t.byPath()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() == t.base+healthPath {
			byPath.ServeHTTP(w, r)
			return
		}
		checked.ServeHTTP(w, r)
	})
}

// byPath answers by the path alone.
func (t routing) byPath() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), t.base)
		switch {
		case !ok:
			t.pages.ServeHTTP(w, r)
		case strings.HasPrefix(path, "user/"):
			t.servers.ServeHTTP(w, r)
		case strings.HasPrefix(path, "services/"):
			t.services.ServeHTTP(w, r)
		case path == metricsPath, path == metricsAPIPath:
			t.metrics.ServeHTTP(w, r)
		case isAPI(path):
			t.api.ServeHTTP(w, r)
		default:
			t.pages.ServeHTTP(w, r)
		}
	})
}

// private answers on the listener that servers and services of this host reach.
func (t routing) private() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), t.base)
		switch {
		case ok && path == metricsAPIPath:
			t.metrics.ServeHTTP(w, r)
		case ok && isAPI(path):
			t.api.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

// isAPI reports whether a path below the base URL is JupyterHub's API.
func isAPI(path string) bool { return path == "hub/api" || strings.HasPrefix(path, "hub/api/") }
