package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestTokenIsShownOnce follows a token from its making to its end.
func TestTokenIsShownOnce(t *testing.T) {
	h := newHub(t, nil)
	resp := h.post("/hub/token", "gail", url.Values{"note": {hostileName}, "expires": {"0"},
		"scopes": {"read:servers!user  read:users:name!user"}})
	if got := resp.Header.Get("Cache-Control"); resp.StatusCode != http.StatusOK || got != "no-store" {
		t.Errorf("%d with Cache-Control %q", resp.StatusCode, got)
	}
	p := show(t, resp)
	shown := p.elements("pre")
	if len(shown) == 0 {
		t.Fatalf("no token:\n%s", p.text)
	}
	secret := textOf(shown[0])
	kept, err := h.db.TokenByHash(t.Context(), ident.HashToken(secret))
	if err != nil {
		t.Fatalf("what is shown is no token: %v", err)
	}
	if diff := cmp.Diff([]string{"read:servers!user", "read:users:name!user"}, kept.Scopes); diff != "" ||
		kept.User != key("gail").User || !kept.Expires.IsZero() || kept.Note != hostileName {
		t.Errorf("%+v\n%s", kept, diff)
	}
	if strings.Contains(p.text, "<script>alert") {
		t.Error("the note comes through as it was written")
	}
	if again := show(t, h.do("GET", "/hub/token", "gail")); strings.Contains(again.text, secret) ||
		!strings.Contains(again.text, "only you") {
		t.Errorf("the page afterwards:\n%s", again.text)
	}
	if other := show(t, h.do("GET", "/hub/token", "bob")); strings.Contains(other.text, "Mine") {
		t.Error("another sees the token")
	}
}

func TestTokenRefusals(t *testing.T) {
	tests := map[string]url.Values{
		"more than one may do":  {"scopes": {"admin:users"}},
		"somebody else's":       {"scopes": {"read:servers!user=alice"}},
		"no scope":              {"scopes": {"nonsense"}},
		"too long a life":       {"expires": {"90000"}},
		"for ever":              {"expires": {"0"}},
		"life in the past":      {"expires": {"-1"}},
		"life is no number":     {"expires": {"soon"}},
		"long note":             {"note": {strings.Repeat("x", 256)}},
		"note that cannot show": {"note": {"a\u202eb"}},
	}
	h := newHub(t, func(c *setup) {
		c.MaxTokenLife = 24 * time.Hour
	})
	for name, form := range tests {
		t.Run(name, func(t *testing.T) {
			p := show(t, h.post("/hub/token", "gail", form))
			if p.status != http.StatusBadRequest || !strings.Contains(p.text, `role="alert"`) ||
				len(p.elements("pre")) > 0 {
				t.Errorf("%d\n%s", p.status, p.text)
			}
		})
	}
	if all, err := h.db.TokensOf(t.Context(), key("gail").User); err != nil || len(all) > 0 {
		t.Errorf("made %v, %v", all, err)
	}
}

// TestLives has what may be chosen under the settings' bound.
func TestLives(t *testing.T) {
	tests := map[time.Duration]string{
		0:                  "3600 86400 604800 2592000* 31536000 0",
		7 * 24 * time.Hour: "3600 86400 604800*",
		time.Hour:          "3600*",
		time.Minute:        "*",
	}
	for longest, want := range tests {
		var got []string
		for _, l := range lives(longest, "") {
			mark := ""
			if l.Chosen {
				mark = "*"
			}
			got = append(got, l.Seconds+mark)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %q, want %q", longest, text, want)
		}
	}
	if l := lives(0, "0"); !l[5].Chosen {
		t.Error("what was chosen before is not kept")
	}
}

// TestRevoke has what a revocation takes away, and that it takes nobody else's.
func TestRevoke(t *testing.T) {
	tests := map[string]struct {
		user string
		form url.Values
		want string
		left []string
	}{
		"one token": {"alice", url.Values{"id": {"1"}}, "See Other /hub/token",
			[]string{"app", "app again", "app of bob"}},
		"an application": {"alice", url.Values{"client": {"service-x"}}, "See Other /hub/token",
			[]string{"app of bob", "own"}},
		"somebody else's": {"bob", url.Values{"id": {"1"}}, "Not Found",
			[]string{"app", "app again", "app of bob", "own"}},
		"no such token": {"alice", url.Values{"id": {"99"}}, "Not Found",
			[]string{"app", "app again", "app of bob", "own"}},
		"no number": {"alice", url.Values{"id": {"1 OR 1"}}, "Not Found",
			[]string{"app", "app again", "app of bob", "own"}},
		"nothing": {"alice", nil, "Not Found", []string{"app", "app again", "app of bob", "own"}},
		"no such client": {"alice", url.Values{"client": {"service-y"}}, "Not Found",
			[]string{"app", "app again", "app of bob", "own"}},
		"the client's own": {"bob", url.Values{"client": {"service-x"}}, "See Other /hub/token",
			[]string{"app", "app again", "own"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, nil)
			for _, v := range []store.Token{
				{Note: "own", User: key("alice").User, Kind: store.APIToken},
				{Note: "app", User: key("alice").User, Kind: store.OAuthToken, ClientID: "service-x"},
				{Note: "app again", User: key("alice").User, Kind: store.OAuthToken, ClientID: "service-x"},
				{Note: "app of bob", User: key("bob").User, Kind: store.OAuthToken, ClientID: "service-x"},
			} {
				v.Hash = v.Note
				if _, err := h.db.CreateToken(t.Context(), v); err != nil {
					t.Fatal(err)
				}
			}
			if got := answer(h.post("/hub/token/revoke", tt.user, tt.form)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			var left []string
			for _, note := range []string{"app", "app again", "app of bob", "own"} {
				if _, err := h.db.TokenByHash(t.Context(), note); err == nil {
					left = append(left, note)
				}
			}
			if diff := cmp.Diff(tt.left, left); diff != "" {
				t.Errorf("left: want(-) got(+):\n%s", diff)
			}
		})
	}
}
