package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
)

func TestParsePath(t *testing.T) {
	tests := map[string]struct {
		prefix     string
		raw        string
		user       string // "" when it names nobody
		server     string
		bare       bool
		wantNobody bool
	}{
		"default server":               {raw: "/user/alice/", user: "alice"},
		"without slash":                {raw: "/user/alice", user: "alice", bare: true},
		"deep path":                    {raw: "/user/alice/lab/tree/x", user: "alice", server: "lab"},
		"named server":                 {raw: "/user/alice/gpu/", user: "alice", server: "gpu"},
		"named server without slash":   {raw: "/user/alice/gpu", user: "alice", server: "gpu", bare: true},
		"no server's name":             {raw: "/user/alice/Lab/", user: "alice"},
		"decoded once":                 {raw: "/user/%61lice/", user: "alice"},
		"decoded once only":            {raw: "/user/%2561lice/", wantNobody: true},
		"encoded slash in the user":    {raw: "/user/alice%2Fbob/", wantNobody: true},
		"encoded slash before it":      {raw: "/user/%2Falice/", wantNobody: true},
		"encoded slash in the server":  {raw: "/user/alice/gpu%2Fx/", user: "alice"},
		"encoded slash for user":       {raw: "/user%2Fbob/", wantNobody: true},
		"dots for the user":            {raw: "/user/../user/bob/", wantNobody: true},
		"encoded dots for the user":    {raw: "/user/%2e%2e/bob/", wantNobody: true},
		"dots after the user":          {raw: "/user/alice/../bob/", user: "alice"},
		"encoded dots after the user":  {raw: "/user/alice/%2e%2e/bob/", user: "alice"},
		"encoded dots and slash":       {raw: "/user/alice/..%2fbob/", user: "alice"},
		"backslash":                    {raw: `/user/alice\..\bob/`, wantNobody: true},
		"double slash":                 {raw: "//user/alice/", wantNobody: true},
		"empty user":                   {raw: "/user//alice/", wantNobody: true},
		"empty server":                 {raw: "/user/alice//gpu/", user: "alice"},
		"NUL":                          {raw: "/user/alice%00/", wantNobody: true},
		"newline":                      {raw: "/user/alice%0a/", wantNobody: true},
		"broken escape":                {raw: "/user/%zz/", wantNobody: true},
		"broken escape of the server":  {raw: "/user/alice/%zz/", user: "alice"},
		"semicolon":                    {raw: "/user/alice;x/", wantNobody: true},
		"full-width letters":           {raw: "/user/%EF%BD%81lice/", wantNobody: true},
		"nobody":                       {raw: "/user/", wantNobody: true},
		"root":                         {raw: "/", wantNobody: true},
		"hub":                          {raw: "/hub/user/alice/", wantNobody: true},
		"asterisk":                     {raw: "*", wantNobody: true},
		"below the prefix":             {prefix: "jhub", raw: "/jhub/user/alice/", user: "alice"},
		"not below the prefix":         {prefix: "jhub", raw: "/user/alice/", wantNobody: true},
		"deep prefix":                  {prefix: "a/b", raw: "/a/b/user/alice/gpu/x", user: "alice", server: "gpu"},
		"prefix with an encoded slash": {prefix: "a/b", raw: "/a%2Fb/user/alice/", wantNobody: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			prefix := []string{"user"}
			if tt.prefix != "" {
				prefix = append(strings.Split(tt.prefix, "/"), "user")
			}
			got, ok := parsePath(prefix, tt.raw)
			if ok == tt.wantNobody {
				t.Fatalf("parsePath(%q) = %v, %v", tt.raw, got, ok)
			}
			if got.User.String() != tt.user || got.Server.String() != tt.server || got.Bare != tt.bare {
				t.Errorf("parsePath(%q) = %q, %q, bare %v; want %q, %q, %v", tt.raw,
					got.User, got.Server, got.Bare, tt.user, tt.server, tt.bare)
			}
		})
	}
}

// FuzzParsePath checks that a path names a user only if its literal segment after
// /user/ is that name with letters escaped, whatever else stands in it; and that the
// way over a real request comes to the same result.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"/user/alice/", "/user/alice/gpu/x", "/user/al%69ce", "/user/alice%2f..%2fbob/",
		"/user/alice/..;/bob/", "/user/%2e%2e/bob", "//user/bob/", "/user/alice/%67pu/", "/user/alice?x=/user/bob/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parsePath([]string{"user"}, s)
		if !ok {
			return
		}
		segments := strings.Split(s, "/")
		if len(segments) < 3 || segments[0] != "" || !escapes(segments[1], "user") ||
			!escapes(segments[2], got.User.String()) {
			t.Fatalf("%q was taken for user %q", s, got.User)
		}
		if !got.Server.IsDefault() && !escapes(segments[3], got.Server.String()) {
			t.Fatalf("%q was taken for server %q", s, got.Server)
		}
		overRequest(t, s)
	})
}

func overRequest(t *testing.T, path string) {
	r, err := http.NewRequest(http.MethodGet, "http://hub/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = path
	p := newProxy(t, Config{})
	asked, _, _ := strings.Cut(path, "?")
	want, ok := parsePath([]string{"user"}, asked)
	if got, gotOK := p.Target(r); gotOK != ok || got != want {
		t.Errorf("request %q: %v %v, want %v %v", path, got, gotOK, want, ok)
	}
}

// escapes reports whether segment is name with some of its bytes as %XX, by taking the
// escapes off one by one (and not as the code under test does it).
func escapes(segment, name string) bool {
	const hex = "0123456789abcdef"
	for len(name) > 0 {
		switch {
		case segment == "":
			return false
		case segment[0] == name[0]:
			segment = segment[1:]
		case len(segment) >= 3 && strings.EqualFold(segment[:3], "%"+string(hex[name[0]>>4])+string(hex[name[0]&15])):
			segment = segment[3:]
		default:
			return false
		}
		name = name[1:]
	}
	return segment == ""
}

func TestAddSlash(t *testing.T) {
	tests := map[string]struct{ base, path, want string }{
		"default":                  {"/", "/user/alice", "/user/alice/"},
		"query stays":              {"/", "/user/alice?a=1&b", "/user/alice/?a=1&b"},
		"escaped":                  {"/", "/user/%61lice", "/user/alice/"},
		"named server that runs":   {"/", "/user/alice/gpu", "/user/alice/gpu/"},
		"prefix":                   {"/jhub/", "/jhub/user/alice", "/jhub/user/alice/"},
		"named server without one": {"/", "/user/alice/other", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, Config{BaseURL: tt.base})
			p.SetRoute(key(t, "alice", "gpu"), backend.UnixSocket("/nowhere", 0))
			w := httptest.NewRecorder()
			passing(p).ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, nil))
			if got := w.Header().Get("Location"); got != tt.want {
				t.Errorf("GET %s: %d to %q, want %q", tt.path, w.Code, got, tt.want)
			}
		})
	}
}
