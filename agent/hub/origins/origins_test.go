package origins

import (
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func user(t *testing.T, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestLabel has JupyterHub's own examples (jupyterhub/tests/test_utils.py), those of names that can be a Unix user's or
// a service's.
func TestLabel(t *testing.T) {
	for name, want := range map[string]string{
		"safe": "safe", "x": "x", "a-b": "a-b", "a1": "a1",
		"has--doubledash":       "u-hasdoubl--cb052ae",
		"uhasdoubl--cb052ae":    "u-uhasdoub--3c0d1c9",
		"-pre":                  "u-pre--0e46e7b",
		"a.b":                   "u-ab--2e7336d",
		strings.Repeat("a", 64): "u-aaaaaaaa--ffe054f",
	} {
		if got := label(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"123", "A", "alice_b", "post-", "_", ""} {
		if got := label(name); got == name || !isLabel(got) {
			t.Errorf("%q: %q", name, got)
		}
	}
	if label("alice") == label("Alice") {
		t.Error("two users share an origin, since DNS knows no case")
	}
}

// FuzzLabel checks that every name gets a label, and that only labels stay as they are.
func FuzzLabel(f *testing.F) {
	for _, name := range []string{"alice", "u-x--1234567", "É", "a b", "..", "xn--9ca"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := label(name)
		if !isLabel(got) || got != name && !strings.Contains(got, "--") {
			t.Errorf("%q: %q", name, got)
		}
	})
}

// TestOneOrigin checks a hub under whose origin all servers are.
func TestOneOrigin(t *testing.T) {
	o, err := New("https://Hub.example.org:443/x/", "")
	if err != nil || o.Separate() {
		t.Fatal(o, err)
	}
	const hub = "https://hub.example.org"
	if o.Hub() != hub || o.Server(user(t, "alice")) != hub || o.Service("grades") != hub {
		t.Errorf("origins %s, %s, %s", o.Hub(), o.Server(user(t, "alice")), o.Service("grades"))
	}
	if !o.Is(hub, "HUB.example.org:443") || o.Is(hub, "hub.example.org:444") || o.Is("", "hub.example.org") ||
		o.Below("alice.hub.example.org") {
		t.Error("hosts are taken for others")
	}
	if none, err := New("", ""); err != nil || none.Hub() != "" || none.Server(user(t, "alice")) != "" {
		t.Errorf("a hub without a public URL: %+v, %v", none, err)
	}
}

// TestSeparate checks the origins of members and services.
func TestSeparate(t *testing.T) {
	o, err := New("https://hub.example.org:8443/", "https://{user}.hub.example.org:8443")
	if err != nil || !o.Separate() {
		t.Fatal(o, err)
	}
	alice := o.Server(user(t, "alice"))
	if alice != "https://alice.hub.example.org:8443" ||
		o.Service("grades") != "https://grades--service.hub.example.org:8443" ||
		o.Hub() != "https://hub.example.org:8443" {
		t.Errorf("origins %s, %s, %s", alice, o.Service("grades"), o.Hub())
	}
	for host, want := range map[string]bool{"alice.hub.example.org:8443": true, "ALICE.hub.example.org:8443": true,
		"bob.hub.example.org:8443": false, "alice.hub.example.org": false, "hub.example.org:8443": false} {
		if o.Is(alice, host) != want {
			t.Errorf("%s is alice's: %v", host, !want)
		}
	}
	for host, want := range map[string]bool{"alice.hub.example.org:8443": true, "hub.example.org:8443": false,
		"a.b.hub.example.org:8443": false, ".hub.example.org:8443": false, "evil.example": false} {
		if o.Below(host) != want {
			t.Errorf("%s is below: %v", host, !want)
		}
	}
}

// TestRefused has patterns that are no origins.
func TestRefused(t *testing.T) {
	const public = "https://hub.example.org/"
	for pattern, words := range map[string]string{
		"http://{user}.hub.example.org":     "must begin with",
		"https://hub.example.org":           "must begin with",
		"https://x{user}.hub.example.org":   "must begin with",
		"{user}.hub.example.org":            "must begin with",
		"https://{user}.hub.example.org/":   "must be an origin",
		"https://{user}.hub.example.org/x":  "must be an origin",
		"https://{user}.{user}.example.org": "must be an origin",
		"https://{user}.a@hub.example.org":  "must be an origin",
		"https://{user}.":                   "must be an origin",
		"https://{user}.hub.example.org?x":  "must be an origin",
		"https://{user}.hub.example.org:x":  "must be an origin",
		"https://{user}.192.0.2.1":          "must end in a domain",
		"https://{user}.192.0.2.1:8443":     "must end in a domain",
	} {
		if _, err := New(public, pattern); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	if _, err := New("", "https://{user}.hub.example.org"); err == nil || !strings.Contains(err.Error(), "public_url") {
		t.Errorf("without a public URL: %v", err)
	}
	if _, err := New("https://[::1", ""); err == nil {
		t.Error("a public URL that is none")
	}
}

// TestMemberNamedAsTheHub checks that nobody's servers are under the hub's origin, whatever their account is called.
func TestMemberNamedAsTheHub(t *testing.T) {
	o, err := New("https://hub.example.org", "https://{user}.example.org")
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Server(user(t, "hub")); got == o.Hub() || !strings.HasPrefix(got, "https://u-hub--") {
		t.Errorf("hub's servers are at %s", got)
	}
	if got := o.Server(user(t, "alice")); got != "https://alice.example.org" {
		t.Errorf("alice's are at %s", got)
	}
}
