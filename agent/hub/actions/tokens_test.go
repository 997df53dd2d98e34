package actions

import (
	gocmp "cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestCreateToken goes through requests and their refusals.
func TestCreateToken(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	seconds := func(n int64) *int64 { return &n }
	const day, never = 24 * time.Hour, -1
	tests := map[string]struct {
		by            string
		life, longest time.Duration // of the settings
		req           TokenRequest
		want          string
		lives         time.Duration // never: without end
		scopes        string
		message       string
	}{
		"as the settings say": {"alice", time.Hour, day, TokenRequest{}, "ok", time.Hour, "[inherit]", ""},
		"as long as can be":   {"alice", 0, day, TokenRequest{}, "ok", day, "[inherit]", ""},
		"for ever":            {"alice", 0, 0, TokenRequest{}, "ok", never, "[inherit]", ""},
		"for ever, as asked for": {"alice", time.Hour, 0, TokenRequest{ExpiresIn: seconds(0)}, "ok", never,
			"[inherit]", ""},
		"a minute": {"alice", time.Hour, day, TokenRequest{ExpiresIn: seconds(60)}, "ok",
			time.Minute, "[inherit]", ""},
		"the longest": {"alice", time.Hour, day, TokenRequest{ExpiresIn: seconds(86400)}, "ok", day,
			"[inherit]", ""},
		"too long": {"alice", time.Hour, day, TokenRequest{ExpiresIn: seconds(86401)},
			"invalid bad-life expires_in", 0, "", "token expires_in: 86401 must not exceed 86400"},
		"for ever where that is too long": {"alice", time.Hour, day, TokenRequest{ExpiresIn: seconds(0)},
			"invalid bad-life expires_in", 0, "", "token expires_in: 0 must not exceed 86400"},
		"a long note": {"alice", 0, 0, TokenRequest{Note: strings.Repeat("x", maxText+1)},
			"invalid too-long note", 0, "", "note is longer than 255 bytes"},
		"a note that reverses text": {"alice", 0, 0, TokenRequest{Note: "a\u202eb"},
			"invalid unshowable note", 0, "", "note holds a character that cannot be shown"},
		"in the past": {"alice", time.Hour, 0, TokenRequest{ExpiresIn: seconds(-1)},
			"invalid bad-life expires_in", 0, "", "token expires_in: -1 lies in the past"},
		"a century": {"alice", time.Hour, 0, TokenRequest{ExpiresIn: seconds(1 << 60)}, "ok",
			longestLife * time.Second, "[inherit]", ""},
		"with scopes": {"alice", 0, 0, TokenRequest{Scopes: []string{"read:users!user=alice"}},
			"ok", never, "[read:users!user=alice]", ""},
		"with no scopes": {"alice", 0, 0, TokenRequest{Scopes: []string{}}, "ok", never, "[]", ""},
		"with a role": {"alice", 0, 0, TokenRequest{Roles: []string{"user"}}, "ok", never, "[self]",
			""},
		"with a role and scopes": {"alice", 0, 0, TokenRequest{Roles: []string{"user"},
			Scopes: []string{"self"}}, "invalid roles-or-scopes roles", 0, "",
			"Can only assign one of roles or scopes."},
		"with no role": {"alice", 0, 0, TokenRequest{Roles: []string{"none"}},
			"invalid no-role roles", 0, "", "No such role: none"},
		"with no scope": {"alice", 0, 0, TokenRequest{Scopes: []string{"nonsense"}},
			"invalid bad-scope scopes", 0, "", ""},
		"with more than the owner may": {"alice", 0, 0, TokenRequest{Scopes: []string{"read:hub", "shutdown"}},
			"invalid exceeds-rights scopes", 0, "", "Not assigning requested scopes read:hub, shutdown because " +
				"they exceed those of user alice"},
		"for alice by an administrator": {"dora", 0, 0, TokenRequest{Scopes: []string{"self"}}, "ok", never, "[self]",
			""},
		"more than alice may, by an administrator": {"dora", 0, 0, TokenRequest{Scopes: []string{"admin:users"}},
			"invalid exceeds-rights scopes", 0, "", ""},
		"for alice by bob":          {"bob", 0, 0, TokenRequest{}, "hidden lacks-scope", 0, "", ""},
		"for alice by the operator": {"root", 0, 0, TokenRequest{}, "ok", never, "[inherit]", ""},
		"for nobody": {"root", 0, 0, TokenRequest{Owner: at("carol").User},
			"not found no-user", 0, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) {
				c.TokenLife, c.MaxTokenLife, c.Now = tt.life, tt.longest, func() time.Time { return now }
			})
			if b.MaxTokenLife() != tt.longest {
				t.Errorf("the longest life is %v", b.MaxTokenLife())
			}
			if tt.req.Note = gocmp.Or(tt.req.Note, "n"); tt.req.Owner.IsZero() {
				tt.req.Owner = user(t, "alice")
			}
			secret, made, err := b.CreateToken(t.Context(), b.as(t, tt.by), tt.req)
			if got := outcome(err); got != tt.want || tt.message != "" && err.Error() != tt.message {
				t.Fatalf("%s (%v), want %s", got, err, tt.want)
			}
			if err != nil {
				if secret != "" {
					t.Error("a refused token was handed out")
				}
				return
			}
			saved, err := b.db.TokenByHash(t.Context(), ident.HashToken(secret))
			if err != nil || saved.ID != made.ID || saved.Kind != store.APIToken || saved.Note != "n" ||
				saved.User != tt.req.Owner {
				t.Errorf("saved %+v, %v", saved, err)
			}
			if got := fmt.Sprint(saved.Scopes); got != tt.scopes {
				t.Errorf("scopes %s, want %s", got, tt.scopes)
			}
			if lives := saved.Expires.Sub(now); lives != tt.lives && (tt.lives != never || !saved.Expires.IsZero()) {
				t.Errorf("it lives %v, want %v", lives, tt.lives)
			}
			if len(secret) != 32 || strings.Trim(secret, "0123456789abcdef") != "" {
				t.Errorf("the token is %q", secret)
			}
		})
	}
	for _, what := range []string{"read users", "read memberships", "read shares", "insert tokens"} {
		b := newBench(t)
		dora := b.as(t, "dora")
		b.break_(t, what)
		secret, _, err := b.CreateToken(t.Context(), dora, TokenRequest{Owner: user(t, "alice")})
		if got := outcome(err); got != "error" || secret != "" {
			t.Errorf("%s: %s, secret %q", what, got, secret)
		}
	}
}

// TestRevokeTokens checks which tokens go.
func TestRevokeTokens(t *testing.T) {
	alice := at("alice").User
	tests := map[string]struct {
		do   func(b *bench, s subject) error
		want string
		left []string // by their hashes
	}{
		"one": {func(b *bench, s subject) error { return b.RevokeToken(t.Context(), s, alice, aToken) },
			"ok", []string{"2", "3"}},
		"a client's": {func(b *bench, s subject) error {
			return b.RevokeToken(t.Context(), s, alice,
				anOAuthToken)
		}, "ok", []string{"1"}},
		"none": {func(b *bench, s subject) error { return b.RevokeToken(t.Context(), s, alice, 9) },
			"not found no-token", []string{"1", "2", "3"}},
		"another's": {func(b *bench, s subject) error {
			return b.RevokeToken(t.Context(), s, at("bob").User,
				aToken)
		}, "not found no-token", []string{"1", "2", "3"}},
		"by client": {func(b *bench, s subject) error { return b.RevokeClient(t.Context(), s, alice, "app") },
			"ok", []string{"1"}},
		"by no client": {func(b *bench, s subject) error { return b.RevokeClient(t.Context(), s, alice, "") },
			"not found no-token", []string{"1", "2", "3"}},
		"by a client without": {func(b *bench, s subject) error {
			return b.RevokeClient(t.Context(), s, alice,
				"other")
		}, "not found no-token", []string{"1", "2", "3"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.db.CreateToken(t.Context(), store.Token{Hash: "3", Kind: store.OAuthToken, User: alice,
				ClientID: "app"}); err != nil {
				t.Fatal(err)
			}
			if got := outcome(tt.do(b, b.as(t, "dora"))); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			all, err := b.db.TokensOf(t.Context(), alice)
			var left []string
			for _, v := range all {
				left = append(left, v.Hash)
			}
			if diff := cmp.Diff(tt.left, left); err != nil || diff != "" {
				t.Errorf("%v, left (-want +got):\n%s", err, diff)
			}
		})
	}
	b := newBench(t)
	dora := b.as(t, "dora")
	b.break_(t, "delete tokens")
	if err := b.RevokeToken(t.Context(), dora, alice, anOAuthToken); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a client's tokens with a full disk: %v", err)
	}
}

// TestTokensMakeTokens checks what a token and a service may hand on: all that the owner may do, as in JupyterHub, and
// with TokensBounded nothing that they lack themselves.
func TestTokensMakeTokens(t *testing.T) {
	const narrow = "[tokens!user read:users!user]"
	for name, tt := range map[string]struct {
		by      string // scopes of the token that asks; "": alice's browser, "svc": a service with the scope "tokens"
		bounded bool
		scopes  []string
		want    string
	}{
		"as in JupyterHub":            {narrow, false, nil, "ok"},
		"bounded":                     {narrow, true, nil, "invalid exceeds-rights scopes"},
		"bounded, what it lacks":      {narrow, true, []string{"servers!user"}, "invalid exceeds-rights scopes"},
		"bounded, what it has":        {narrow, true, []string{"read:users:name!user", "tokens!user"}, "ok"},
		"bounded, nothing":            {narrow, true, []string{}, "ok"},
		"bounded, all by all":         {"[inherit]", true, nil, "ok"},
		"bounded, more by all":        {"[inherit]", true, []string{"shutdown"}, "invalid exceeds-rights scopes"},
		"a browser is not bounded":    {"", true, nil, "ok"},
		"a service, as in JupyterHub": {"svc", false, nil, "ok"},
		"a service, bounded":          {"svc", true, nil, "invalid exceeds-rights scopes"},
		"a service, what it has":      {"svc", true, []string{"read:tokens!user"}, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(c *Config) { c.TokensBounded = tt.bounded })
			alice := user(t, "alice")
			by := b.as(t, "alice")
			switch tt.by {
			case "":
			case "svc":
				by = b.as(t, "x.svc", "tokens")
			default:
				by = b.byToken(t, alice, strings.Fields(strings.Trim(tt.by, "[]"))...)
			}
			_, _, err := b.CreateToken(t.Context(), by, TokenRequest{Owner: alice, Scopes: tt.scopes})
			if got := outcome(err); got != tt.want {
				t.Errorf("%s, want %s: %v", got, tt.want, err)
			}
		})
	}
}

// everybody may be here.
type everybody struct{}

func (everybody) MayEnter(context.Context, ident.User) error { return nil }

// byToken returns a user as a token of theirs with these scopes makes them.
func (b *bench) byToken(t *testing.T, u ident.User, list ...string) access.Subject {
	t.Helper()
	if _, err := b.db.CreateToken(t.Context(), store.Token{Hash: ident.HashToken("tok"), Kind: store.APIToken, User: u,
		Scopes: list}); err != nil {
		t.Fatal(err)
	}
	s, err := access.NewAuthenticator(access.Sources{Authority: b.auth, Records: b.db, Standings: everybody{},
		Log: slog.New(slog.DiscardHandler)}).Token(t.Context(), "tok")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
