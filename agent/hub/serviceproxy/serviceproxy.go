// Package serviceproxy passes requests below /services/NAME/ on to the services that have pages. It must never decide
// who may open a service: each asks the hub for that itself.
package serviceproxy

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
)

// Connections is what is open to services. Make it with New.
type Connections struct {
	proxy  *proxy.Proxy
	limits services.Limits // of the services that were added through the API

	mu    sync.Mutex      // guards known
	known map[string]open // by the service's name
}

// open is the connections to a service, and where it was when they were made.
type open struct {
	url string
	to  *proxy.Service
}

// New makes Connections over a proxy, which counts and drains them, within the limits for services that were added
// through the API.
func New(p *proxy.Proxy, l services.Limits) *Connections {
	return &Connections{proxy: p, limits: l, known: map[string]open{}}
}

// to returns the connections to a service, new ones when it has moved.
func (c *Connections) to(s services.Service, fail failure) (*proxy.Service, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.known[s.Name]
	if ok && old.url == s.URL {
		return old.to, nil
	}
	at := proxy.Upstream{Name: s.Name, URL: s.URL,
		Unavailable: func(w http.ResponseWriter, r *http.Request, status int) { fail(w, r, down(s, status)) }}
	if !s.Declared {
		at.Dial = limited(c.limits)
	}
	to, err := c.proxy.ForService(at)
	if err != nil {
		return nil, err
	}
	if ok {
		old.to.Close()
	}
	c.known[s.Name] = open{s.URL, to}
	return to, nil
}

// Forget ends what is open to a service that was removed.
func (c *Connections) Forget(name string) {
	c.mu.Lock()
	old, ok := c.known[name]
	delete(c.known, name)
	c.mu.Unlock()
	if ok {
		old.to.Close()
	}
}

// registry knows the services by name.
type registry interface {
	Get(name string) (services.Service, bool)
}

// failure answers an error.
type failure func(w http.ResponseWriter, r *http.Request, err error)

// Handler returns what answers below baseURL+"services/". fail answers an error.
func (c *Connections) Handler(baseURL string, all registry, fail failure) http.Handler {
	prefix := baseURL + "services/"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The path is cut as it came: no service has a name with an escaped character.
		name, _, slash := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), prefix), "/")
		s, ok := all.Get(name)
		switch {
		case !ok || s.Prefix == "":
			fail(w, r, httpx.Fail(http.StatusNotFound, "there is no such service"))
		case !slash:
			to := url.URL{Path: s.Prefix, RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, to.String(), http.StatusFound)
		default:
			c.pass(w, r, s, fail)
		}
	})
}

func (c *Connections) pass(w http.ResponseWriter, r *http.Request, s services.Service, fail failure) {
	to, err := c.to(s, fail)
	if err != nil {
		fail(w, r, err)
		return
	}
	to.ServeHTTP(w, r)
}

// down says that a service does not answer, and what to do.
func down(s services.Service, status int) error {
	e := &httpx.Error{Status: status, Public: fmt.Sprintf("the service %s does not answer", s.Name),
		Hint: "tell the administrators of this hub"}
	if s.Unit != "" {
		e.Hint = "administrators: systemctl status " + s.Unit + "; journalctl -u " + s.Unit
	}
	return e
}
