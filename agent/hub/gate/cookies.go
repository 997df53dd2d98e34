package gate

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Opens reports whether the cookies of a request open one of these servers now.
func (g *Gate) Opens(r *http.Request, keys ...ident.Key) bool {
	return slices.ContainsFunc(keys, func(key ident.Key) bool {
		leave, _ := g.byCookie(r, key)
		return leave != nil
	})
}

// hasLogin reports whether a browser sends the hub's session wherever it sends the cookie of a server: on one origin,
// where it is a cookie of the host. Without TLS it has the path of the hub's pages.
func (g *Gate) hasLogin() bool { return g.cfg.Cookies.Secure() && !g.cfg.Origins.Separate() }

// valuesOf returns the values of all cookies of two names in a request. A page of a server can set cookies beside the
// hub's, also of the same name with another path; how many there are and in which order shows nothing of who set them.
func valuesOf(h http.Header, first, second string) (ofFirst, ofSecond []string) {
	for pair := range cookies.Pairs(h) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			continue
		}
		switch strings.TrimSpace(name) {
		case first:
			ofFirst = append(ofFirst, strings.TrimSpace(value))
		case second:
			ofSecond = append(ofSecond, strings.TrimSpace(value))
		}
	}
	return ofFirst, ofSecond
}
