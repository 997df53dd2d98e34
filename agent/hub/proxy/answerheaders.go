package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A server or a service shares the hub's web origin, so a header of its answer that acts on the whole origin acts on
// the hub and on everybody else's server. narrow takes such headers out, or cuts them to the upstream's own path. It
// holds for final answers, interim ones (1xx) and trailers.
//
// What acts on one page or one answer alone passes, since a page can do the same by script: Link, Refresh,
// Speculation-Rules, Permissions-Policy, Content-Security-Policy, the Access-Control-* of the server's own answers.

// originWide are the names of headers that a browser, or a proxy in front of the hub, applies to more than the answer
// that has them, with the reason of each.
var originWide = map[string]string{ // read only
	"Accept-Ch":                   "adds hints to every later request to the origin (RFC 8942)",
	"Accept-Ch-Lifetime":          "an older form of Accept-CH",
	"Alt-Svc":                     "sends later requests to another host and port (RFC 7838)",
	"Cache-Group-Invalidation":    "empties caches of the origin (RFC 9875)",
	"Cache-Groups":                "joins groups of the origin's other answers (RFC 9875)",
	"Clear-Site-Data":             "signs people out of the hub and deletes what every server has stored",
	"Critical-Ch":                 "as Accept-CH, and repeats the request",
	"Expect-Ct":                   "held for the whole host (RFC 9163)",
	"Expect-Staple":               "held for the whole host",
	"Nel":                         "reports failures of all requests to the origin to an address of the server's",
	"Origin-Agent-Cluster":        "the first answer decides for all pages of the origin",
	"Origin-Trial":                "a persistent trial changes the browser for the origin",
	"Public-Key-Pins":             "makes the host unreachable with its next certificate (RFC 7469)",
	"Public-Key-Pins-Report-Only": "reports every visit to the host (RFC 7469)",
	"Report-To":                   "names where reports on the whole origin go",
	"Reporting-Endpoints":         "names where reports go, in some browsers those on the whole origin",
	"Set-Cookie2":                 "a cookie by rules that nothing here checks (RFC 2965)",
	"Set-Login":                   "says whether the person is signed in at the origin (FedCM)",
	"Strict-Transport-Security":   "held for the whole host and what is below it (RFC 6797)",
	"Use-As-Dictionary":           "its pattern may match any path of the origin (RFC 9842)",
	"X-Lighttpd-Send-File":        "as X-Sendfile, of lighttpd",
	"X-Lighttpd-Send-Tempfile":    "as X-Sendfile, of lighttpd, which then deletes the file",
	"X-Litespeed-Location":        "as X-Accel-Redirect, of LiteSpeed",
	"X-Reproxy-File":              "as X-Sendfile, of Perlbal",
	"X-Reproxy-Url":               "as X-Accel-Redirect, of Perlbal",
	"X-Sendfile":                  "a proxy in front of the hub sends a file of its own instead of the answer",
	"X-Sendfile-Temporary":        "as X-Sendfile, and deletes the file",
	"X-Sendfile2":                 "as X-Sendfile",
}

// wideBegin is how names begin of which every one is as those of originWide, with the reason.
var wideBegin = [...]struct{ prefix, why string }{ // read only
	{"X-Accel-", "nginx in front of the hub obeys them: X-Accel-Redirect sends any location of its own"},
	{"Sec-Session-", "binds the origin's sessions to a key and a page of the server's choice"},
	{"Secure-Session-", "a later name of Sec-Session-"},
	{"Attribution-Reporting-", "registers events for the whole origin"},
	{"Shared-Storage-", "writes what the whole origin shares"},
	{"Proxy-", "a browser's sign-in prompt for the hub's name, and what else is between a browser and its proxy"},
}

// actsOnOrigin reports whether a header of an answer, by its canonical name, acts on the whole origin.
func actsOnOrigin(name string) bool {
	if _, found := originWide[name]; found {
		return true
	}
	for i := range wideBegin {
		if strings.HasPrefix(name, wideBegin[i].prefix) {
			return true
		}
	}
	return false
}

// received checks an answer of the route's upstream and narrows its headers, before anything of it is passed on.
func (r *route) received(answer *http.Response) error {
	if answer.StatusCode < 100 || answer.StatusCode > 599 {
		return fmt.Errorf("it answers with the status %03d, which HTTP does not have", answer.StatusCode)
	}
	narrow(answer.Header, r.prefix)
	if answer.ContentLength < 0 && answer.StatusCode != http.StatusSwitchingProtocols { // others have no trailer
		narrowTrailer(answer.Trailer)
		answer.Body = &narrowedBody{answer.Body, answer}
	}
	return nil
}

// narrowedBody narrows the trailer of an answer, which is there when the body has been read and closed.
type narrowedBody struct {
	io.ReadCloser
	of *http.Response
}

// Close narrows the trailer.
func (b *narrowedBody) Close() error {
	err := b.ReadCloser.Close()
	narrowTrailer(b.of.Trailer)
	return err
}

// narrow takes out of an upstream's headers what acts on the whole origin and cuts to prefix what can be cut. prefix is
// the path below which the upstream is, with a slash at both ends.
func narrow(h http.Header, prefix string) {
	for name, values := range h {
		switch {
		case name == "Set-Cookie":
			h[name] = narrowCookies(values, prefix)
		case name == "Service-Worker-Allowed":
			h[name] = []string{narrowScope(values, prefix)}
		case name == "Www-Authenticate":
			h[name] = withoutPrompts(values)
		case actsOnOrigin(name):
			delete(h, name)
			continue
		default:
			continue
		}
		if len(h[name]) == 0 {
			delete(h, name)
		}
	}
}

// narrowTrailer takes out of a trailer all that narrow reads: no browser needs any of it there (RFC 9110, 6.5.1).
func narrowTrailer(h http.Header) {
	for name := range h {
		switch {
		case name == "Set-Cookie", name == "Service-Worker-Allowed", name == "Www-Authenticate", actsOnOrigin(name):
			delete(h, name)
		}
	}
}

// narrowScope returns the path that a service worker of the upstream's may have as its scope at most. Without the
// header it is the directory of its script, which lies within the prefix. The browser compares letter by letter, so
// "/user/al" would be a scope over "/user/alice/", and only a value with the whole prefix passes.
func narrowScope(values []string, prefix string) string {
	if len(values) == 1 && strings.HasPrefix(values[0], prefix) && plainPath(values[0]) {
		return values[0]
	}
	return prefix
}

// plainPath reports whether a path is what it seems to be: nothing in it leads up, is escaped or ends it.
func plainPath(path string) bool {
	for i := range len(path) {
		if path[i] <= ' ' || path[i] >= 0x7f {
			return false
		}
	}
	return !strings.ContainsAny(path, `%\?#,`) && !strings.Contains(path, "/.")
}

// withoutPrompts returns the challenges at which no browser asks for a password or sends a ticket by itself: the person
// would see the hub's name beside the question. A value with any other scheme is left out as a whole.
func withoutPrompts(values []string) (kept []string) {
	for _, v := range values {
		if harmless(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

// harmless reports whether every challenge of a WWW-Authenticate value (RFC 9110, 11.6.1) is one for programs.
func harmless(value string) bool {
	elements, ok := splitList(value)
	if !ok {
		return false
	}
	for _, e := range elements {
		scheme, param, _ := strings.Cut(e, " ")
		if param = strings.TrimSpace(param); e == "" || strings.Contains(scheme, "=") || strings.HasPrefix(param, "=") {
			continue // a parameter of the challenge before
		}
		switch strings.ToLower(scheme) {
		case "bearer", "dpop", "token":
		default:
			return false
		}
	}
	return true
}

// splitList splits a header's value at its commas that are not quoted; ok is false when a quote does not end. Tabs
// count as blanks.
func splitList(value string) (elements []string, ok bool) {
	var quoted, escaped bool
	begin := 0
	value = strings.ReplaceAll(value, "\t", " ")
	for i := range len(value) {
		switch {
		case escaped:
			escaped = false
		case quoted && value[i] == '\\':
			escaped = true
		case value[i] == '"':
			quoted = !quoted
		case value[i] == ',' && !quoted:
			elements, begin = append(elements, strings.TrimSpace(value[begin:i])), i+1
		}
	}
	return append(elements, strings.TrimSpace(value[begin:])), !quoted
}
