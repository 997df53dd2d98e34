package httpx

import (
	"fmt"
	"net/http"
	"strings"
)

// WithQuery returns a target with a query as it came, if it is one.
func WithQuery(target, query string) string {
	if query == "" {
		return target
	}
	return target + "?" + query
}

// Redirect sends a browser to a target, which it leaves as it is but for bytes that a header cannot hold: they are
// escaped. http.Redirect would remove double slashes from the path of a notebook. The caller makes the target from a
// fixed prefix, or has checked where it leads.
func Redirect(w http.ResponseWriter, status int, target string) {
	var b strings.Builder
	for i := range len(target) { // a header holds ASCII only
		if c := target[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	w.Header().Set("Location", b.String())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}
