package login

import (
	"fmt"
	"net/url"
	"strings"
)

// maxNext keeps the sign-in's cookie below the 4096 bytes that browsers keep.
const maxNext = 2048

// SafeNext returns the URL path to go to after a sign-in: next when it is a path on
// this host, otherwise fallback. What a browser could take for another host ("//x",
// "/\x"), a scheme, and every control character (browsers drop tabs and newlines
// before they look: WHATWG URL, basic parser) is refused.
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
			fmt.Fprintf(&b, "%%%02X", c) // a header holds ASCII alone
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

// leavesHost reports whether a URL holds anything that can name another host. The text of next was
// checked already; this holds if net/url ever reads a text otherwise than those checks do.
func leavesHost(u *url.URL) bool {
	return u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != ""
}
