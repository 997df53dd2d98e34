package gate

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// What ends the query of an address to which the hub sends a browser that may open a server.
const (
	redirectsField = "redirects=" // how often it was sent there, as JupyterHub counts
	ticketField    = "gifford-ticket="
)

// takeTicket answers a request with a ticket: it redirects to the address without the ticket, with the cookie where the
// ticket is good and, on one origin, of the session that the browser has.
func (g *Gate) takeTicket(w http.ResponseWriter, r *http.Request, key ident.Key) bool {
	query, sealed, _, ok := cutTicket(r.URL.RawQuery)
	if !ok || !navigates(r) {
		return false
	}
	n := g.name(key)
	if c, good := g.seal.open(forTicket, n.path, sealed, g.cfg.Now()); good && g.sameSession(r, c.session) {
		w.Header().Add("Set-Cookie", g.setCookie(key, c))
	}
	httpx.Redirect(w, http.StatusFound, httpx.WithQuery(r.URL.EscapedPath(), query))
	return true
}

// sameSession reports whether the hub's session in a request is the one of that id, where browsers send it.
func (g *Gate) sameSession(r *http.Request, id string) bool {
	if _, logins := valuesOf(r.Header, "", g.names.login); len(logins) == 0 {
		return !g.hasLogin()
	}
	s, err := g.cfg.People.Browser(r)
	return err == nil && s.SessionID == id
}

// cutTicket splits a ticket off the end of a query, with the count of redirects before it.
func cutTicket(query string) (rest, ticket string, redirects int, ok bool) {
	i := strings.LastIndex(query, ticketField)
	if i < 0 || i > 0 && query[i-1] != '&' || strings.Contains(query[i:], "&") {
		return query, "", 0, false
	}
	rest, ticket = strings.TrimSuffix(query[:i], "&"), query[i+len(ticketField):]
	rest, redirects = cutRedirects(rest)
	return rest, ticket, redirects, true
}

// cutRedirects splits a count of redirects off the end of a query, 0 for none.
func cutRedirects(query string) (rest string, n int) {
	begin := strings.LastIndexByte(query, '&') + 1
	count, ok := strings.CutPrefix(query[begin:], redirectsField)
	if !ok {
		return query, 0
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		n = 0
	}
	return strings.TrimSuffix(query[:begin], "&"), n
}

// Clean returns a query without what Address has added, which a server without a route sends back to the hub: it is
// byte for byte the one that came first. redirects is how often the browser was redirected to the server.
func Clean(query string) (rest string, redirects int) {
	if rest, _, n, ok := cutTicket(query); ok {
		return rest, n
	}
	return cutRedirects(query)
}

// Address returns where the hub sends a browser that may open a server: a path, which begins with the server's, with
// its query, a count of redirects and a ticket of the session. The caller must have checked that the person may open
// the server and, where it is another's, wants to.
func (g *Gate) Address(session string, key ident.Key, path, query string, redirects int) string {
	host := ""
	if g.cfg.Origins.Separate() {
		host = g.cfg.Origins.Server(key.User)
	}
	if query != "" {
		query += "&"
	}
	return host + path + "?" + query + redirectsField + strconv.Itoa(redirects) + "&" + ticketField +
		g.seal.seal(forTicket, g.name(key).path, credential{session: session}, g.cfg.Now())
}

// setCookie returns the Set-Cookie value with a credential for a server.
func (g *Gate) setCookie(key ident.Key, c credential) string {
	n := g.name(key)
	line := n.cookie + "=" + g.seal.seal(forCookie, n.path, c, g.cfg.Now()) + "; Path=" + n.path +
		"; HttpOnly; SameSite=Lax"
	if g.cfg.Cookies.Secure() {
		line += "; Secure"
	}
	return line
}

// names remembers the names of what belongs to each server.
type names struct {
	login string // the name of the hub's session
	of    sync.Map
}

// named is what belongs to one server.
type named struct{ path, cookie string }

// name returns the path and the name of the cookie of a server.
func (g *Gate) name(key ident.Key) named {
	if n, ok := g.names.of.Load(key); ok {
		return n.(named)
	}
	path := g.cfg.BaseURL + key.Path()[1:]
	n := named{path, g.cfg.Cookies.Server(path)}
	g.names.of.Store(key, n) // only servers that run are asked for
	return n
}
