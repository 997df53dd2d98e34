package httpx

import (
	"net/http"
	"strings"
)

// maxTarget bounds a request's target, in bytes.
const maxTarget = 64 << 10

// WithStrictRequests answers requests that net/http lets through although programs behind the hub could read them in
// another way, and keeps their connections from being used again.
//
//   - A request's target with a blank or a control character is refused with 400. HTTP/2 can send one (:path, RFC 9113,
//     8.3.1), and passed on over HTTP/1.1 it would end the target.
//   - A target of more than 64 KB is refused with 414: no program behind the hub takes one.
//   - A connection over HTTP/1 ends with the answer to a request that has a Transfer-Encoding, or is of HTTP/1.0 and
//     has a body. It may have had a Content-Length too, which net/http drops without a word: what follows on the
//     connection could be somebody else's request (RFC 9112, 6.1 and 6.3). Browsers send neither. The proxy frames such
//     a body by chunks.
func WithStrictRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !plainTarget(r.RequestURI) || !plainTarget(r.Method) {
			Words(w, "the request's target has a blank or a control character: escape it (%20)",
				http.StatusBadRequest)
			return
		}
		if len(r.RequestURI) > maxTarget {
			Words(w, "the request's address has more than 64 KB: send what is in it in a body",
				http.StatusRequestURITooLong)
			return
		}
		if r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0 && r.ContentLength != 0) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// plainTarget reports whether nothing in a request's target or method could end it. Characters beyond ASCII are the
// servers' own matter.
func plainTarget(target string) bool {
	return strings.IndexFunc(target, func(c rune) bool { return c <= ' ' || c == 0x7f }) < 0
}
