package cookies

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// MaxBytes is how much of cookies a request may bring. Nothing of the hub's needs a tenth of it. A page of somebody's
// server can set as many cookies as a browser holds, so that it could shut people out of the hub.
const MaxBytes = 32 << 10

// maxExpired bounds the lines that Expire returns, in bytes: browsers refuse answers with longer headers. What is left
// expires with the next answer.
const maxExpired = 48 << 10

// Trouble is what is wrong with the cookies of a request.
type Trouble int

// The troubles.
const (
	None     Trouble = iota
	TooLarge         // more than MaxBytes
	Twice            // the session more than once: at most one of them is the hub's, and nobody knows which
)

// Check returns what is wrong with the cookies in a request's headers.
func (n Names) Check(h http.Header) Trouble {
	logins := 0
	for pair := range Pairs(h) {
		if strings.TrimSpace(nameOf(pair)) == n.Login() {
			logins++
		}
	}
	switch {
	case logins > 1:
		return Twice
	case Size(h) > MaxBytes:
		return TooLarge
	}
	return None
}

// Expire returns Set-Cookie lines that make a browser forget the cookies of a request: by name, for each path and each
// domain from which this request can have them. The largest go first. Of a single session the browser keeps the cookie.
// Clear-Site-Data would be shorter, but takes the cookies of every other host of the domain with it.
func (n Names) Expire(r *http.Request) []string {
	keep := ""
	if n.Check(r.Header) != Twice {
		keep = n.Login()
	}
	attributes := ";Max-Age=0"
	if n.secure {
		attributes += ";Secure;HttpOnly" // without them browsers ignore a line for a name with a prefix
	}
	var lines []string
	size := 0
	for _, name := range bySize(r.Header) {
		if name == keep {
			continue
		}
		for _, path := range pathsTo(r.URL.EscapedPath()) {
			for _, domain := range domainsOf(r.Host) {
				line := name + "=x;Path=" + path + domain + attributes
				if size += len(line); size > maxExpired {
					return lines
				}
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// Outdated returns a Set-Cookie line that makes a browser forget the session that the hub set before it had the name of
// Login, or "" for a request without one.
func (n Names) Outdated(h http.Header) string {
	if n.Login() == login {
		return ""
	}
	for pair := range Pairs(h) {
		if strings.TrimSpace(nameOf(pair)) == login {
			return login + "=x; Path=" + n.base + "hub/; Max-Age=0"
		}
	}
	return ""
}

// bySize returns the names of a request's cookies, those first that take the most.
func bySize(h http.Header) []string {
	sizes := map[string]int{"": 0} // a cookie without a name can look like one with a name
	for pair := range Pairs(h) {
		name, _, named := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !named {
			name = ""
		}
		sizes[name] += len(pair)
	}
	names := make([]string, 0, len(sizes))
	for name := range sizes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := sizes[b] - sizes[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

// pathsTo returns every Path whose cookies are sent to a URL path (RFC 6265, 5.1.4).
func pathsTo(path string) []string {
	all := []string{"/"}
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			all = append(all, path[:i], path[:i+1])
		}
	}
	if len(path) > 1 && !strings.HasSuffix(path, "/") {
		all = append(all, path)
	}
	return slices.DeleteFunc(all, func(p string) bool { return strings.ContainsAny(p, ";,") })
}

// domainsOf returns the attributes for a host's own cookies and for those of each domain above it.
func domainsOf(host string) []string {
	host = strings.ToLower(host)
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	all := []string{""}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || strings.ContainsAny(host, ";, ") {
		return all
	}
	for strings.Contains(host, ".") {
		all = append(all, ";Domain="+host)
		_, host, _ = strings.Cut(host, ".")
	}
	return all
}
