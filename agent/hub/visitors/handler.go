package visitors

import (
	"context"
	"net/http"
	"net/netip"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

type visitKey struct{}

// Known ends the counting of a request, and of its connection, for what finds out later than Config.Known that it shows
// a session or token, as by a cookie that the hub's own host does not get.
func Known(r *http.Request) {
	if leave, ok := r.Context().Value(visitKey{}).(func()); ok {
		leave()
		known(r.Context())
	}
}

// Handler answers 429 to requests that are too many for their address.
func (v *Visitors) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, _ := netip.ParseAddr(v.cfg.Client(r))
		key, counts := v.whose(addr)
		if !counts {
			next.ServeHTTP(w, r)
			return
		}
		may, crowded := v.enter(key, requests)
		if crowded && v.cfg.Known(r) {
			v.leave(key, requests)
			known(r.Context())
			next.ServeHTTP(w, r)
			return
		}
		leave := sync.OnceFunc(func() { v.leave(key, requests) })
		defer leave()
		if !may {
			v.refused(key, "request")
			w.Header().Set("Retry-After", "10")
			httpx.Words(w, hint.Join("too many requests from this network are open without a session", "try again in "+
				"a moment; administrators: http.max_anonymous in hub.toml is the bound for each address"),
				http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, leave)))
	})
}
