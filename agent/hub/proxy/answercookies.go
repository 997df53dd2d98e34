package proxy

import (
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
)

// maxCookiePath is the length above which browsers ignore a cookie's attribute (RFC 6265bis, 5.6).
const maxCookiePath = 1024

// cookiePrefixes begin the names of cookies that browsers take from an origin as a whole (RFC 6265bis, 4.1.3), in lower
// case. Some browsers compare them without regard to case, so this does too.
var cookiePrefixes = [...]string{"__host-", "__secure-", "__http-", "__host-http-"} // read only

// narrowCookies returns the Set-Cookie values of an upstream that the browser may have, each for the upstream's own
// prefix.
func narrowCookies(values []string, prefix string) (kept []string) {
	for _, v := range values {
		if line, ok := narrowCookie(v, prefix); ok {
			kept = append(kept, line)
		}
	}
	return kept
}

// narrowCookie returns a Set-Cookie value cut to prefix: without Domain, and with that prefix as its Path where it has
// one outside. ok is false for a cookie that nobody may set (the hub's own, or one with a reserved name), and for one
// that browsers may read in different ways.
//
// Without a Path a browser takes the directory of the request (RFC 6265, 5.1.4). Requests come to an upstream only
// below its prefix, so that directory is the prefix or lies below it, and such a cookie passes.
func narrowCookie(line, prefix string) (narrowed string, ok bool) {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	if name = strings.Trim(name, " "); !ok || !cookieName(name) || hasControl(value) || !visible(attributes) {
		return "", false
	}
	if reserved(name) {
		return "", false
	}
	attributes, changed := narrowAttributes(attributes, prefix)
	if !changed {
		return line, true
	}
	return pair + attributes, true
}

// narrowAttributes returns a cookie's attributes, each with its semicolon in front, without Domain and without a Path
// outside prefix; changed is false when they may stay as they are.
func narrowAttributes(attributes, prefix string) (narrowed string, changed bool) {
	var kept strings.Builder
	outside := false
	for attribute := range strings.SplitSeq(attributes, ";") {
		key, value, _ := strings.Cut(attribute, "=")
		switch strings.ToLower(strings.Trim(key, " ")) {
		case "domain":
			changed = true
			continue
		case "path":
			if !cookiePathWithin(strings.Trim(value, " "), prefix) {
				changed, outside = true, true
				continue
			}
		}
		if attribute != "" {
			kept.WriteString(";" + attribute)
		}
	}
	if outside { // after all others, since the last Path counts
		kept.WriteString("; Path=" + prefix)
	}
	return kept.String(), changed
}

// cookiePathWithin reports whether a cookie with that Path goes to requests below prefix alone. An empty Path is as
// none. One in quotes is read by some browsers as what is between them.
func cookiePathWithin(path, prefix string) bool {
	if path == "" || path+"/" == prefix {
		return true
	}
	return strings.HasPrefix(path, prefix) && len(path) <= maxCookiePath && !strings.Contains(path, "/.") &&
		!strings.Contains(path, `\`)
}

// cookieName reports whether every reader of cookies takes name for the same name: visible ASCII characters without
// separators. A nameless cookie is none, since its value would be read as a name (RFC 6265bis, 5.7).
func cookieName(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f || strings.IndexByte(`",\`, name[i]) >= 0 {
			return false
		}
	}
	return name != ""
}

// visible reports whether s has nothing but blanks and visible ASCII characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// hasControl reports whether s has a control character, for which browsers ignore the cookie or cut it.
func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// reserved reports whether no upstream may set a cookie of that name.
func reserved(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range cookiePrefixes {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return cookies.Ours(name)
}
