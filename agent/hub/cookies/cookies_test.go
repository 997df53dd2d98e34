package cookies

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNames checks that browsers hold to the names where they can, and that no two hubs or servers share one.
func TestNames(t *testing.T) {
	root, below, plain := New("/", true), New("/lab/", true), New("/", false)
	seen := map[string]bool{}
	for _, n := range []Names{root, below, plain, New("/lab/", false), New("/lab2/", true)} {
		for _, name := range []string{n.Login(), n.Attempt("a"), n.Attempt("b"), n.Server("/user/alice/"),
			n.Server("/user/alice/x/")} {
			if seen[name] {
				t.Errorf("%s is the name of two", name)
			}
			seen[name] = true
			if !Ours(name) || !Ours(strings.ToUpper(name)) || !Ours(" "+name+"\t") {
				t.Errorf("%s is not ours", name)
			}
			if strings.HasPrefix(name, "__") != n.secure {
				t.Errorf("%s at a hub with https %v", name, n.secure)
			}
			if (&http.Cookie{Name: name, Value: "x"}).Valid() != nil {
				t.Errorf("%s cannot be a cookie's name", name)
			}
		}
	}
	if root.Login() != "__Host-Http-jupyterhub-hub-login" || plain.Login() != "jupyterhub-hub-login" {
		t.Errorf("%s and %s", root.Login(), plain.Login())
	}
	if root.HostPath("/hub/") != "/" || plain.HostPath("/hub/") != "/hub/" || !root.Secure() || plain.Secure() {
		t.Error("paths or the attribute Secure")
	}
}

func TestOurs(t *testing.T) {
	for name, want := range map[string]bool{
		"jupyterhub-session-id": true, "Jupyterhub-Session-Id": true, "__Host-jupyterhub-session-id": true,
		"jupyterhub-hub-login": true, "jupyterhub-hub-login-0123456789ab": true, "__secure-gifford-server-x": true,
		"__HOST-HTTP-JUPYTERHUB-HUB-LOGIN": true, "__Http-gifford-server-0123": true,
		"_xsrf": false, "jupyterhub-user-alice": false, "jupyterhub-session-id2": false, "service-board": false,
		"jupyterhub-user-alice-oauth-state": false, "": false, "__Host-": false, "x-jupyterhub-hub-login": false,
		"username-127-0-0-1-8888": false,
	} {
		if got := Ours(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestStrip(t *testing.T) {
	const session = "__Host-Http-jupyterhub-hub-login=secret"
	for name, tt := range map[string]struct{ lines, want []string }{
		"nothing":       {nil, nil},
		"nothing of us": {[]string{"a=b;  c=d; ;x"}, []string{"a=b;  c=d; ;x"}},
		"alone":         {[]string{session}, nil},
		"first":         {[]string{session + "; a=b"}, []string{"a=b"}},
		"last":          {[]string{"a=b; " + session}, []string{"a=b"}},
		"between":       {[]string{"a=b; " + session + "; c=d"}, []string{"a=b; c=d"}},
		"stays for servers": {[]string{"jupyterhub-session-id=x; " + session + "; _xsrf=y"},
			[]string{"jupyterhub-session-id=x; _xsrf=y"}},
		"several lines":     {[]string{"a=b", session, "c=d; " + session}, []string{"a=b", "c=d"}},
		"twice":             {[]string{session + ";" + session + ";a=b"}, []string{"a=b"}},
		"blanks":            {[]string{"a=b;\t __Host-Http-jupyterhub-hub-login =secret"}, []string{"a=b"}},
		"without a value":   {[]string{"jupyterhub-hub-login; a=b"}, []string{"a=b"}},
		"inside of quotes":  {[]string{`a="x; ` + session + `; b=y"`}, []string{`a="x; b=y"`}},
		"another hub":       {[]string{New("/x/", true).Login() + "=secret; a=b"}, []string{"a=b"}},
		"before an upgrade": {[]string{"jupyterhub-hub-login-0123456789ab=secret; a=b"}, []string{"a=b"}},
		"a server's":        {[]string{New("/", true).Server("/user/alice/") + "=secret; a=b"}, []string{"a=b"}},
		"in another case":   {[]string{"__HOST-HTTP-JupyterHub-Hub-Login=secret; a=b"}, []string{"a=b"}},
		"in a value":        {[]string{"a=" + session}, []string{"a=" + session}},
	} {
		h := http.Header{}
		if tt.lines != nil {
			h["Cookie"] = slices.Clone(tt.lines)
		}
		shared := h["Cookie"]
		Strip(h)
		if diff := cmp.Diff(tt.want, h["Cookie"]); diff != "" {
			t.Errorf("%s: want(-) got(+):\n%s", name, diff)
		}
		if diff := cmp.Diff(tt.lines, shared); diff != "" {
			t.Errorf("%s: the request that came in has changed:\n%s", name, diff)
		}
		if _, there := h["Cookie"]; there && tt.want == nil {
			t.Errorf("%s: an empty header is left", name)
		}
	}
}

// FuzzStrip checks that nothing which a cookie parser could take for the hub's is left, and all else is.
func FuzzStrip(f *testing.F) {
	for _, s := range []string{"a=b; jupyterhub-hub-login=s; c", `a="; __Host-jupyterhub-hub-login=s"`, ";;=",
		"\x00=;"} {
		f.Add(s, "x=y")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		h := http.Header{"Cookie": {first, "__Host-Http-jupyterhub-hub-login=secret; " + second}}
		Strip(h)
		for _, line := range h["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				if name, _, _ := strings.Cut(pair, "="); opens(name) {
					t.Errorf("%q is left of %q, %q", pair, first, second)
				}
			}
		}
		for _, c := range (&http.Request{Header: h}).Cookies() {
			if opens(c.Name) {
				t.Errorf("net/http finds %q in %q", c.Name, h["Cookie"])
			}
		}
		again := h.Clone()
		Strip(again)
		if diff := cmp.Diff(h, again); diff != "" {
			t.Errorf("once more takes more:\n%s", diff)
		}
	})
}
