package hub

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

// serviceProxy passes requests below services/NAME/ on to the services that have pages.
type serviceProxy struct {
	prefix   string // of all services
	registry *services.Registry
	proxy    *proxy.Proxy
	fail     func(w http.ResponseWriter, r *http.Request, err error)

	mu    sync.Mutex            // guards known
	known map[string]serviceWay // by the service's name
}

// serviceWay is where a service was, and the connections to it.
type serviceWay struct {
	url string
	way *proxy.Service
}

func (p *serviceProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The path is cut as it came: what is escaped in a name is no service's.
	name, _, slash := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), p.prefix), "/")
	s, ok := p.registry.Get(name)
	if !ok || s.Prefix == "" {
		p.fail(w, r, httpx.Fail(http.StatusNotFound, "there is no such service"))
		return
	}
	if !slash {
		to := url.URL{Path: s.Prefix, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusFound)
		return
	}
	way, err := p.way(s)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	way.ServeHTTP(w, r)
}

// way returns the connections to a service, new ones when it has moved.
func (p *serviceProxy) way(s services.Service) (*proxy.Service, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, ok := p.known[s.Name]
	if ok && old.url == s.URL {
		return old.way, nil
	}
	way, err := p.proxy.ForService(proxy.Upstream{Name: s.Name, URL: s.URL,
		Unavailable: func(w http.ResponseWriter, r *http.Request, status int) {
			p.fail(w, r, down(s, status))
		}})
	if err != nil {
		return nil, err
	}
	if ok {
		old.way.Close()
	}
	if p.known == nil {
		p.known = map[string]serviceWay{}
	}
	p.known[s.Name] = serviceWay{s.URL, way}
	return way, nil
}

// forget ends what is open to a service that is no more.
func (p *serviceProxy) forget(name string) {
	p.mu.Lock()
	old, ok := p.known[name]
	delete(p.known, name)
	p.mu.Unlock()
	if ok {
		old.way.Close()
	}
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
