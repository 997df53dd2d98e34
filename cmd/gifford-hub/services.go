package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/proxy"
	"github.com/gifford-lab/gifford-hub/agent/services"
)

// serviceProxy passes requests below services/NAME/ on to the services that have pages.
type serviceProxy struct {
	prefix   string // of all services
	registry *services.Registry
	proxy    *proxy.Proxy
	fail     func(w http.ResponseWriter, r *http.Request, err error)

	mu    sync.Mutex              // guards known
	known map[string]http.Handler // by name and URL
}

func (p *serviceProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, slash := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), p.prefix), "/")
	s, ok := p.registry.Get(name)
	if !ok || s.Prefix == "" || strings.HasPrefix(rest, "../") {
		p.fail(w, r, httpx.Fail(http.StatusNotFound, "there is no such service"))
		return
	}
	if !slash {
		http.Redirect(w, r, s.Prefix, http.StatusFound)
		return
	}
	h, err := p.handler(s)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	h.ServeHTTP(w, r)
}

// handler gives the service's handler, made once for each address, with its connections.
func (p *serviceProxy) handler(s services.Service) (http.Handler, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := s.Name + " " + s.URL
	if h, ok := p.known[key]; ok {
		return h, nil
	}
	h, err := p.proxy.ForService(proxy.Upstream{Name: s.Name, URL: s.URL, Unavailable: func(w http.ResponseWriter, r *http.Request, status int) {
		p.fail(w, r, down(s, status))
	}})
	if err == nil {
		p.known[key] = h
	}
	return h, err
}

// down says that a service does not answer, and what to do.
func down(s services.Service, status int) error {
	e := &httpx.Error{Status: status, Public: fmt.Sprintf("the service %s does not answer", s.Name), Hint: "tell the administrators of this hub"}
	if s.Unit != "" {
		e.Hint = "administrators: systemctl status " + s.Unit + "; journalctl -u " + s.Unit
	}
	return e
}
