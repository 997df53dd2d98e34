package gate

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValuesOf(t *testing.T) {
	for name, tt := range map[string]struct{ lines, first, second []string }{
		"none":           {nil, nil, nil},
		"one":            {[]string{"a=1"}, []string{"1"}, nil},
		"both":           {[]string{"a=1; b=2"}, []string{"1"}, []string{"2"}},
		"twice":          {[]string{"a=1;a=2; b=3", "a=4"}, []string{"1", "2", "4"}, []string{"3"}},
		"of others":      {[]string{"aa=1; xa=2; A=3; a"}, nil, nil},
		"blanks":         {[]string{"  a =  1 ; b\t= 2\t"}, []string{"1"}, []string{"2"}},
		"more equals":    {[]string{"a=1=2"}, []string{"1=2"}, nil},
		"quotes are not": {[]string{`x="; a=1; "`}, []string{"1"}, nil},
		"empty":          {[]string{"a=;b="}, []string{""}, []string{""}},
	} {
		first, second := valuesOf(http.Header{"Cookie": tt.lines}, "a", "b")
		if diff := cmp.Diff([][]string{tt.first, tt.second}, [][]string{first, second}); diff != "" {
			t.Errorf("%s: want(-) got(+):\n%s", name, diff)
		}
	}
}

// FuzzCookies checks that only what was sealed lets through, whatever stands around it.
func FuzzCookies(f *testing.F) {
	r := newRig(f)
	good := r.cookie(f, "s-alice", "alice")
	f.Add("a=b; ", "; c=d")
	f.Add("__Http-gifford-server-x=", ";;=;")
	f.Add(hub("s-alice")+";", "")
	// No seed has a cookie of ours: the workers are processes of their own, and another one's is as good.
	f.Add(strings.SplitN(good, "=", 2)[0]+"=x;", "")
	f.Fuzz(func(t *testing.T, before, after string) {
		alone := http.Header{"Cookie": {before, after}}
		first, _ := valuesOf(alone, strings.SplitN(good, "=", 2)[0], "")
		within, _ := valuesOf(http.Header{"Cookie": {before + good + after}}, strings.SplitN(good, "=", 2)[0], "")
		for _, v := range slices.Concat(first, within) {
			if c, ok := r.seal.open(forCookie, "/user/alice/", v, time.Now()); ok &&
				v != strings.SplitN(good, "=", 2)[1] {
				t.Errorf("%q opens as %+v", v, c)
			}
		}
		own, _ := valuesOf(http.Header{"Cookie": {before, good, after}}, strings.SplitN(good, "=", 2)[0], "")
		if len(own) != len(first)+1 {
			t.Errorf("%q, %q: found %d, and %d with ours", before, after, len(first), len(own))
		}
	})
}

// FuzzTicket checks that a query comes back byte for byte, and that nothing but a sealed text is a ticket.
func FuzzTicket(f *testing.F) {
	r := newRig(f)
	for _, s := range []string{"", "a=b", "redirects=1", "gifford-ticket=x", "a&redirects=2&gifford-ticket=", "&&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.HasSuffix(query, "&") {
			return // one "&" of several at the end is dropped
		}
		_, full, _ := strings.Cut(r.Address("s", key(t, "alice"), "/user/alice/", query, 2), "?")
		if rest, n := Clean(full); rest != query || n != 2 {
			t.Errorf("%q comes back as %q, %d", query, rest, n)
		}
		if _, sealed, _, ok := cutTicket(query); ok {
			if _, good := r.seal.open(forTicket, "/user/alice/", sealed, r.now()); good {
				t.Errorf("%q is a ticket", query)
			}
		}
	})
}

// TestPublic has which paths lie below the public ones "files/public" and "voila/".
func TestPublic(t *testing.T) {
	for path, want := range map[string]bool{
		"files/public": true, "files/public/": true, "files/public/a/b%20c.html": true, "voila": true, "voila/x": true,
		"files/public%41": false, "files%20/public": false, "": false, "files": false, "files/publics": false,
		"files/public/../../api": false, "files/public/%2e%2e/secret": false, "files/public/.%2E/secret": false,
		"files/public/..%2fsecret": false, "files/public/..%2Fsecret": false, "files/public/%2f": false,
		"files/public//secret": false, "files//public": false, "/files/public": false, "files/public/./x": false,
		"files/public/%252e%252e/x": false, `files/public/..\x`: false, "files/public/%5c..%5cx": false,
		"files/public/..;/x": false, "files/public/...": false, "files/public/.. /x": false, "files/public/%00": false,
		"files/public/%zz": false, "files/public/a%0d%0ab": false, "api/../files/public": false,
		"%66iles/public/x": true, "files/%70ublic": true, "FILES/public": false, "voila/.hidden": true,
	} {
		if got := isPublic([]string{"files/public", "/voila/"}, path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	if isPublic(nil, "files/public") || isPublic([]string{""}, "x") {
		t.Error("what nobody made public is")
	}
}

// TestPublicPaths asks for public paths and others at the gate.
func TestPublicPaths(t *testing.T) {
	r := newRig(t)
	r.public = []string{"files/public"}
	for target, want := range map[string]string{"/user/alice/files/public/x": "visitor",
		"/user/alice/files/public/../secret": forbidden, "/user/alice/files/secret": forbidden,
		"/user/alice/files/public%2f..%2fsecret": forbidden} {
		if got := r.ask(t, "alice", fetch(target)); got != want {
			t.Errorf("%s: %s", target, got)
		}
	}
	if got := r.ask(t, "alice:x", fetch("/user/alice/x/files/public/y")); got != "visitor" {
		t.Errorf("of a named server: %s", got)
	}
	if got := r.ask(t, "alice:x", fetch("/user/alice/files/public/y")); got != forbidden {
		t.Errorf("below another prefix: %s", got)
	}
}
