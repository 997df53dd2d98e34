package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// On one origin the browser separates nobody's pages from another's, so what a server sends to somebody who is not its
// owner is confined to the server's own path: its pages and workers fetch, frame, post to and open WebSockets below it
// alone (policyFor). A browser does not compare paths after a redirect (CSP 3, 7.6), so the proxy does (mayRedirect).
// Windows of others' pages have no handle on each other (Cross-Origin-Opener-Policy).

// The values of Cross-Origin-Opener-Policy (HTML, 7.1.3).
const (
	openerPolicy   = "Cross-Origin-Opener-Policy"
	embedderPolicy = "Cross-Origin-Embedder-Policy"

	// ownersOpener lets the owner's pages, and those of services, open sign-in windows of other sites and read their
	// end. It differs from the policy of the hub's pages, and from that of a visitor's, so no window of these can read
	// the owner's.
	ownersOpener = "same-origin-allow-popups"
	// visitorsOpener separates a page from every other in browsers that know it. For others it is as none, which
	// differs from the owners' and the hub's.
	visitorsOpener = "noopener-allow-popups"
)

// guard changes an answer of the route's upstream for whoever gets it. answer.Request is the request as it was sent.
func (p *Proxy) guard(r *route, answer *http.Response) {
	leave := leaveOf(answer.Request)
	switch {
	case leave == nil: // of a service, whose window no page of a visitor's may have: nothing confines what is in it
		p.setOpener(answer.Header, ownersOpener)
		return
	case leave.Preflight:
		narrowPreflight(answer)
		return
	}
	if leave.Cookie != "" {
		answer.Header.Add("Set-Cookie", leave.Cookie)
	}
	if leave.Owner {
		p.setOpener(answer.Header, ownersOpener)
		return
	}
	if p.cfg.Origins.Separate() {
		return
	}
	h := answer.Header
	h.Set(openerPolicy, visitorsOpener)
	h.Add("Content-Security-Policy", p.policyFor(answer.Request, r.prefix))
	if to := h.Get("Location"); to != "" && !p.mayRedirect(answer, to, r.prefix) {
		refuseRedirect(answer, r)
	}
}

// setOpener replaces the opener policy of an answer by the hub's choice. One that isolates the page from all others
// stays: with an embedder policy it equals none of the hub's.
func (p *Proxy) setOpener(h http.Header, policy string) {
	if p.cfg.Origins.Separate() || len(h[openerPolicy]) > 0 && isolates(h) {
		return
	}
	h.Set(openerPolicy, policy)
}

// isolates reports whether the headers of an answer make its page cross-origin isolated.
func isolates(h http.Header) bool {
	opener, embedder := h[openerPolicy], h[embedderPolicy]
	return len(opener) == 1 && opener[0] == "same-origin" && len(embedder) == 1 &&
		(embedder[0] == "require-corp" || embedder[0] == "credentialless")
}

// policyFor returns the content security policy of what somebody who is not its owner gets of the server at prefix.
// Fetches, frames, workers, WebSockets and forms may lead below prefix alone. Images, styles and scripts may come from
// anywhere, as in notebooks of every owner: no rule can take one path out of an origin and leave the rest of the web.
func (p *Proxy) policyFor(r *http.Request, prefix string) string {
	own := p.places(r, prefix)
	return "connect-src" + own + " data: blob:; frame-src" + own + " data: blob:; child-src" + own +
		" data: blob:; worker-src" + own + " data: blob:; object-src" + own + " data: blob:; form-action" + own
}

// places returns the sources below prefix, each with a blank before it: under the host that the browser has asked, and
// under the hub's public one, as a proxy in front may change the first.
func (p *Proxy) places(r *http.Request, prefix string) string {
	prefix = strings.NewReplacer(";", "%3B", ",", "%2C").Replace(prefix)
	origins := []string{r.Header.Get("X-Forwarded-Proto") + "://" + r.Header.Get("X-Forwarded-Host"),
		p.cfg.Origins.Hub()}
	all := ""
	for i, origin := range origins {
		scheme, host, ok := strings.Cut(origin, "://")
		if !ok || !plainHost(host) || i > 0 && origin == origins[0] {
			continue
		}
		all += " " + origin + prefix + " ws" + strings.TrimPrefix(scheme, "http") + "://" + host + prefix
	}
	if all == "" {
		return " 'none'"
	}
	return all
}

// plainHost reports whether a host can stand in a policy without being read as anything else.
func plainHost(host string) bool {
	for i := range len(host) {
		c := host[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return host != ""
}

// mayRedirect reports whether a redirect may lead somebody who is not the server's owner to a place: whoever looks at
// the address that changes, yes; a part of a page, or a form that is sent again, only below prefix or to another host.
func (p *Proxy) mayRedirect(answer *http.Response, to, prefix string) bool {
	r := answer.Request
	again := answer.StatusCode == http.StatusTemporaryRedirect || answer.StatusCode == http.StatusPermanentRedirect
	if showsAddress(r) && (r.Method == http.MethodGet || r.Method == http.MethodHead || !again) {
		return true
	}
	if answer.StatusCode/100 != 3 {
		return true // no redirect
	}
	return staysBelow(to, prefix, r.Header.Get("X-Forwarded-Host"), p.cfg.Origins.Hub())
}

// showsAddress reports whether the answer to a request becomes a page with an address of its own. Browsers without
// Sec-Fetch say it by what they accept.
func showsAddress(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// staysBelow reports whether a Location leads below prefix, or to a host that is neither of ours. Whatever a browser
// could read in another way than this does counts as ours and outside (URL, 4.4: it drops tabs and line ends, and takes
// a backslash for a slash).
func staysBelow(to, prefix, host, hub string) bool {
	for i := range len(to) {
		if to[i] <= ' ' || to[i] >= 0x7f || to[i] == '\\' {
			return false
		}
	}
	u, err := url.Parse(to)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme != "" && u.Host == "" {
		return false
	}
	web := u.Scheme == "" || u.Scheme == "http" || u.Scheme == "https"
	if u.Host != "" && web && !sameName(u.Host, host) && !sameName(u.Host, hub) {
		return true
	}
	if u.Scheme != "" || u.Host != "" {
		to = u.EscapedPath()
	}
	path, _, _ := strings.Cut(to, "?")
	path, _, _ = strings.Cut(path, "#")
	if leadsUp(path) {
		return false
	}
	return strings.HasPrefix(path, prefix) || u.Host == "" && !strings.HasPrefix(path, "/")
}

// leadsUp reports whether a segment of a path is "..", with dots escaped or not (URL, 4.1).
func leadsUp(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") == ".." {
			return true
		}
	}
	return false
}

// sameName reports whether two hosts, or a host and an origin, have the same name, whatever their ports.
func sameName(host, other string) bool {
	return strings.EqualFold(hostname(host), hostname(other))
}

func hostname(host string) string {
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// refuseRedirect replaces a redirect by words.
func refuseRedirect(answer *http.Response, r *route) {
	delete(answer.Header, "Location")
	answer.StatusCode, answer.Status = http.StatusBadGateway, ""
	answer.Header.Set("Content-Type", "text/plain; charset=utf-8")
	answer.Header.Set("X-Content-Type-Options", "nosniff")
	replaceBody(answer, fmt.Sprintf("%s redirects a part of its page to a place outside of %s, which only its owner's "+
		"pages may\n", r.name(), r.prefix))
}

// replaceBody gives an answer another body.
func replaceBody(answer *http.Response, text string) {
	_ = answer.Body.Close()
	for _, name := range []string{"Content-Encoding", "Content-Range", "Trailer", "Transfer-Encoding", "Etag",
		"Last-Modified"} {
		delete(answer.Header, name)
	}
	answer.Trailer, answer.TransferEncoding = nil, nil
	answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	answer.ContentLength, answer.Body = int64(len(text)), io.NopCloser(strings.NewReader(text))
}
