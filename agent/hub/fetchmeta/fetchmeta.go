// Package fetchmeta judges what a browser says of a request: whether it shows the answer as a page, and whose page made
// it (Fetch Metadata, https://www.w3.org/TR/fetch-metadata/; the headers Origin and Referer). Servers' pages share the
// hub's origin, so "same origin" proves nothing by itself. It must never take a header that a page's script can choose
// for a proof.
package fetchmeta

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Rules are what a hub needs to know of itself.
type Rules struct {
	// Base is the hub's base URL path, with a slash at both ends.
	Base string
	// Secure says that browsers reach the hub by https. Only there do they send Sec-Fetch headers.
	Secure bool
	// Public is the URL at which people reach the hub, "" if it is not known. A proxy in front may ask by a Host
	// without its port.
	Public string
}

// Kind is what becomes of an answer.
type Kind int

// The kinds.
const (
	// Unknown is a request that says nothing: of a browser from before 2023, or of a program. Its answer may end in
	// the hands of any page of the origin.
	Unknown Kind = iota
	// Document is shown as a page in a window or tab of its own: no other page can read it.
	Document
	// Other goes to a script, into a frame, or is an image, a style or the like.
	Other
)

// Kind returns what becomes of the answer to a request.
func (u Rules) Kind(r *http.Request) Kind {
	h := r.Header
	switch {
	case h.Get("Upgrade") != "":
		return Other
	case h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document":
		return Document
	case h.Get("Sec-Fetch-Mode") != "", h.Get("Sec-Fetch-Dest") != "", h.Get("Sec-Fetch-Site") != "":
		return Other
	case u.Secure:
		// Neither Referer nor Accept is a proof: a script chooses both (fetch's "referrer", history.pushState).
		return Unknown
	}
	return u.byReferer(r)
}

// Navigates reports whether a browser goes to a page, in a window or in a frame, and so may be redirected. Browsers
// without Sec-Fetch say it by what they accept.
func Navigates(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("Upgrade") == "" &&
		r.Header.Get("X-Requested-With") == ""
}

// byReferer is Kind at a hub without TLS, where no browser says more. It keeps out scripts that do not lie.
func (u Rules) byReferer(r *http.Request) Kind {
	from, err := url.Parse(r.Referer())
	switch {
	case !strings.Contains(r.Header.Get("Accept"), "text/html"):
		return Unknown
	case err != nil, from.Host == "" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return Unknown
	case from.Host == "" || !u.is(from, r.Host) && r.Method == http.MethodGet:
		return Document // a bookmark, a typed address, or another site's link
	case u.is(from, r.Host) && strings.HasPrefix(from.EscapedPath(), u.Base+"hub/"):
		return Document
	}
	return Unknown
}

// Own reports whether a request that changes something comes from a page of the hub's origin, or from no page at all.
// Scheme, host and port must be the hub's: a page at http://hub.example.org is another one's.
func (u Rules) Own(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		from, err := url.Parse(origin)
		return err == nil && u.is(from, r.Host) && u.sameSite(r)
	}
	return u.sameSite(r)
}

func (Rules) sameSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return false
}

// OfHub reports whether a URL is at the origin that a request was sent to.
func (u Rules) OfHub(from *url.URL, r *http.Request) bool { return u.is(from, r.Host) }

// is reports whether a URL is at the hub, which was asked for as host.
func (u Rules) is(from *url.URL, host string) bool {
	if public, err := url.Parse(u.Public); err == nil && u.Public != "" && u.at(from, public.Host) {
		return true
	}
	return u.at(from, host)
}

// at reports whether a URL is at a host, by the hub's scheme.
func (u Rules) at(from *url.URL, host string) bool {
	scheme, standard := "http", "80"
	if u.Secure {
		scheme, standard = "https", "443"
	}
	return from.Scheme == scheme && strings.EqualFold(withPort(from.Host, standard), withPort(host, standard))
}

// withPort is a host with its port, the standard one where it names none.
func withPort(host, standard string) string {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if port == "" {
			port = standard
		}
		return net.JoinHostPort(name, port)
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), standard)
}
