package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Target is the user and server that a path below /user/ names.
type Target struct {
	User ident.User
	// Server is the named server that the path may mean: its second segment, if that is a server's name. The default
	// server's own paths have the same form ("/user/alice/lab"): only the routes, or the list of known servers, decide.
	// Zero if it cannot be a name.
	Server ident.Server
	// Bare says that the path ends with its last name, without a slash.
	Bare bool
}

// Target reports whom the request's path names; false if it is not of the form
// BASE/user/NAME with a name that an account can have.
//
// The path is read as it came, still escaped: it is cut at its literal slashes, and only then is each segment decoded,
// once. So "%2F" never makes a segment, "%252F" stays "%2F", and a name that decodes to a slash or dots is no account's
// name: package ident refuses it. Segments after the names are not read: "/user/alice/../bob/" is alice's, and her
// server gets it as it is.
func (p *Proxy) Target(r *http.Request) (Target, bool) {
	return parsePath(p.prefix, rawPath(r))
}

func parsePath(prefix []string, raw string) (Target, bool) {
	raw, ok := strings.CutPrefix(raw, "/")
	if !ok {
		return Target{}, false
	}
	for _, want := range prefix {
		var got string
		if got, raw, _ = strings.Cut(raw, "/"); !decodesTo(got, want) {
			return Target{}, false
		}
	}
	first, rest, more := strings.Cut(raw, "/")
	name, err := url.PathUnescape(first)
	if err != nil {
		return Target{}, false
	}
	user, err := ident.ParseUser(name)
	if err != nil {
		return Target{}, false
	}
	t := Target{User: user, Bare: !more}
	if server, deeper, ok := parseServer(rest); ok {
		t.Server, t.Bare = server, !deeper
	}
	return t, true
}

// parseServer parses the first segment of rest as a named server, if it can be one.
func parseServer(rest string) (server ident.Server, deeper, ok bool) {
	segment, _, deeper := strings.Cut(rest, "/")
	name, err := url.PathUnescape(segment)
	if err != nil {
		return ident.Server{}, false, false
	}
	server, err = ident.ParseServer(name)
	return server, deeper, err == nil && !server.IsDefault()
}

func decodesTo(segment, want string) bool {
	got, err := url.PathUnescape(segment)
	return err == nil && got == want
}

// rawPath returns the path byte for byte as the client sent it. What net/http parsed is not enough: it writes
// characters that should have been escaped in its own way.
func rawPath(r *http.Request) string {
	if path, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(path, "/") {
		return path
	}
	return r.URL.EscapedPath() // absolute form, as a client sends it to a forward proxy
}
