package login

import (
	"fmt"
	"net/url"
	"strings"
)

// maxNext keeps the attempt's cookie below the 4096 bytes that browsers accept.
const maxNext = 2048

// SafeNext returns the URL path to go to after a sign-in: next when it is a path on this host,
// otherwise fallback. It refuses everything that a browser could interpret as another host ("//x",
// "/\x"), a scheme, and every control character (browsers remove tabs and newlines before they parse
// a URL: WHATWG URL, basic parser).
func SafeNext(next, fallback string) string {
	if len(next) > maxNext || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return fallback
	}
	var b strings.Builder
	for i := range len(next) {
		switch c := next[i]; {
		case c < 0x20, c == 0x7f, c == '\\':
			return fallback
		case c == ' ', c == '"', c == '<', c == '>', c >= 0x80:
			fmt.Fprintf(&b, "%%%02X", c) // a header contains ASCII only
		default:
			b.WriteByte(c)
		}
	}
	u, err := url.Parse(b.String())
	if err != nil || leavesHost(u) {
		return fallback
	}
	return b.String()
}

// leavesHost reports whether a URL has a part that can name another host. SafeNext has checked the
// text before; this covers a difference between those checks and net/url.
func leavesHost(u *url.URL) bool {
	return u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != ""
}
