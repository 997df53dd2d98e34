package actions

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

type subject = access.Subject

// sharing is what a user needs to share alice's server x with bob and with lab.
func sharing(more ...string) []string {
	return append([]string{"shares!server=alice/x", "read:users:name!user=bob", "read:groups:name!group=lab",
		"read:users:name!user=carol", "read:groups:name!group=none"}, more...)
}

// TestGrantShare goes through grants and their refusals.
func TestGrantShare(t *testing.T) {
	const opens = "access:servers!server=alice/x"
	bob, lab := Grantee{User: at("bob").User}, Grantee{Group: "lab"}
	tests := map[string]struct {
		by    string
		extra []string
		key   string
		with  Grantee
		list  []string
		want  string
		after string // the scopes of the share
	}{
		"to open it":   {"alice", sharing(), "alice:x", bob, nil, "ok", opens},
		"with a group": {"alice", sharing(), "alice:x", lab, nil, "ok", opens},
		"without filter": {"alice", sharing(), "alice:x", lab,
			[]string{"start:servers", "access:servers", "access:servers"}, "ok",
			opens + " start:servers!server=alice/x"},
		"with the filter": {"alice", sharing(), "alice:x", lab, []string{opens}, "ok", opens},
		"adding to it": {"alice", sharing(), "alice:x", bob, []string{"start:servers"}, "ok",
			opens + " start:servers!server=alice/x"},
		"another filter": {"alice", sharing(), "alice:x", bob, []string{"access:servers!server=alice/"},
			"invalid wrong-filter scopes", ""},
		"no scope": {"alice", sharing(), "alice:x", bob, []string{"access:nothing"}, "invalid bad-scope scopes", ""},
		"more than one may": {"alice", sharing(), "alice:x", bob, []string{"admin:servers"},
			"forbidden exceeds-rights", ""},
		"none":      {"dora", nil, "alice:y", bob, nil, "not found no-server", ""},
		"of nobody": {"dora", nil, "carol", bob, nil, "not found no-user", ""},
		"with a stranger": {"alice", sharing(), "alice:x", Grantee{User: at("carol").User}, nil, "invalid no-user user",
			""},
		"with no group": {"alice", sharing(), "alice:x", Grantee{Group: "none"}, nil, "invalid no-group group", ""},
		"with whom one may not name": {"alice", sharing(), "alice:x", Grantee{User: at("dora").User}, nil,
			"forbidden lacks-scope read:users:name", ""},
		"with a group that one may not name": {"alice", sharing(), "alice:x", Grantee{Group: "other"}, nil,
			"forbidden lacks-scope read:groups:name", ""},
		"with nobody": {"dora", nil, "alice:x", Grantee{}, nil, "forbidden lacks-scope read:users:name",
			""},
		"by a user who may not": {"bob", nil, "alice:x", lab, nil, "forbidden lacks-scope shares", ""},
		"by a user who may elsewhere": {"bob", []string{"shares!user=bob"}, "alice:x", lab, nil, "hidden lacks-scope",
			""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			s, err := b.GrantShare(t.Context(), b.as(t, tt.by, tt.extra...), key(t, tt.key), tt.with, tt.list)
			if got := outcome(err); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if got := strings.Join(s.Scopes, " "); got != tt.after {
				t.Errorf("scopes %q, want %q", got, tt.after)
			}
			if lines := b.journal.all(); (len(lines) > 0) != (tt.want == "ok") ||
				len(lines) > 0 && !strings.Contains(lines[0], "event=share-granted by=alice by_kind=user outcome=done "+
					"request=r1 user=alice server=x with="+tt.with.String()+" scopes=") {
				t.Errorf("the journal has %v", lines)
			}
		})
	}
	for what, with := range map[string]Grantee{"read users": bob, "read user_groups": lab, "read servers": bob,
		"update shares": bob, "insert shares": lab} {
		b := newBench(t)
		alice := b.as(t, "alice", sharing()...)
		b.break_(t, what)
		if _, err := b.GrantShare(t.Context(), alice, key(t, "alice:x"), with, nil); outcome(err) != "error" {
			t.Errorf("%s: %s", what, outcome(err))
		}
	}
}

// TestRevokeShare goes through what is left of a share.
func TestRevokeShare(t *testing.T) {
	bob := Grantee{User: at("bob").User}
	tests := map[string]struct {
		with Grantee
		list []string
		want string
		left string
	}{
		"all":            {bob, nil, "ok", ""},
		"an empty list":  {bob, []string{}, "ok", ""},
		"the only one":   {bob, []string{"access:servers"}, "ok", ""},
		"another one":    {bob, []string{"start:servers"}, "ok", "access:servers!server=alice/x"},
		"no scope":       {bob, []string{"x"}, "invalid bad-scope scopes", ""},
		"another filter": {bob, []string{"access:servers!user=bob"}, "invalid wrong-filter scopes", ""},
		"of a stranger":  {Grantee{User: at("carol").User}, nil, "not found no-share", ""},
		"of a group":     {Grantee{Group: "lab"}, nil, "not found no-share", ""},
		"of nobody":      {Grantee{}, nil, "not found no-share", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			left, err := b.RevokeShare(t.Context(), b.as(t, "dora"), key(t, "alice:x"), tt.with, tt.list)
			if got := outcome(err); got != tt.want || strings.Join(left.Scopes, " ") != tt.left {
				t.Errorf("%s with %v left; want %s with %q", got, left.Scopes, tt.want, tt.left)
			}
		})
	}
}

// TestLeaveShare checks who may give a share back.
func TestLeaveShare(t *testing.T) {
	bob, lab := Grantee{User: at("bob").User}, Grantee{Group: "lab"}
	for _, tt := range []struct {
		by    string
		extra []string
		with  Grantee
		want  string
	}{
		{"bob", nil, bob, "ok"}, {"alice", nil, bob, "hidden lacks-scope"}, {"dora", nil, lab, "not found no-share"},
		{"bob", nil, lab, "forbidden lacks-scope groups:shares"},
		{"bob", []string{"groups:shares!group=lab"}, lab, "not found no-share"},
		{"bob", []string{"groups:shares!group=x"}, lab, "hidden lacks-scope"},
	} {
		b := newBench(t)
		if got := outcome(b.LeaveShare(t.Context(), b.as(t, tt.by, tt.extra...), key(t, "alice:x"), tt.with)); got !=
			tt.want {
			t.Errorf("%s leaves the share of %s: %s, want %s", tt.by, tt.with, got, tt.want)
		}
		if tt.want != "ok" {
			continue
		}
		if line := b.journal.all()[0]; !strings.HasPrefix(line, "INFO event=share-left by=bob") {
			t.Errorf("the journal has %s", line)
		}
	}
}

// TestCreateCode goes through the refusals.
func TestCreateCode(t *testing.T) {
	tests := map[string]struct {
		list []string
		life time.Duration
		want string
	}{
		"to open it":        {nil, time.Hour, "ok"},
		"the shortest":      {nil, time.Minute, "ok"},
		"the longest":       {nil, MaxCodeLife, "ok"},
		"shorter":           {nil, time.Minute - 1, "invalid bad-life expires_in"},
		"longer":            {nil, MaxCodeLife + 1, "invalid bad-life expires_in"},
		"no scope":          {[]string{"x"}, time.Hour, "invalid bad-scope scopes"},
		"more than one may": {[]string{"admin:servers"}, time.Hour, "forbidden exceeds-rights"},
	}
	now := time.Now().Truncate(time.Second)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Now = func() time.Time { return now } })
			secret, code, err := b.CreateCode(t.Context(), b.as(t, "alice", "shares!user=alice"), key(t, "alice:x"),
				tt.list,
				tt.life)
			if got := outcome(err); got != tt.want {
				t.Fatalf("%s, want %s", got, tt.want)
			}
			if err != nil {
				return
			}
			saved, err := b.db.ShareCodeByHash(t.Context(), ident.HashToken(secret))
			if err != nil || saved.ID != code.ID || !saved.Expires.Equal(now.Add(tt.life)) ||
				!saved.Created.Equal(now) ||
				fmt.Sprint(saved.Scopes) != "[access:servers!server=alice/x]" {
				t.Errorf("saved %+v, %v", saved, err)
			}
			want := []string{"INFO event=share-code-created by=alice by_kind=user outcome=done request=r1 user=alice " +
				"server=x code=2"}
			if diff := cmp.Diff(want, b.journal.all()); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
		})
	}
	b := newBench(t)
	dora := b.as(t, "dora")
	b.break_(t, "insert share_codes")
	if _, _, err := b.CreateCode(t.Context(), dora, key(t, "alice:x"), nil, time.Hour); outcome(err) != "error" {
		t.Error(outcome(err))
	}
	if line := b.journal.all()[0]; !strings.Contains(line, "outcome=failed") || strings.Contains(line, "code=") {
		t.Errorf("the journal has %s", line)
	}
}

// TestExchangeCode checks who gets what by a code.
func TestExchangeCode(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct{ by, secret, want string }{
		{"dora", "secret", "ok"}, {"bob", "secret", "ok"}, {"dora", "wrong", "not found no-code"},
		{"alice", "secret", "conflict oneself"}, {"x.svc", "secret", "forbidden lacks-scope"},
	} {
		code, err := b.ExchangeCode(t.Context(), b.as(t, tt.by, "read:hub"), tt.secret)
		if got := outcome(err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.by, got, tt.want)
		}
		if has := code.Key == key(t, "alice:x"); has != (tt.want == "ok" || tt.by == "alice") {
			t.Errorf("%s: the code is of %v", tt.by, code.Key)
		}
	}
	shares, err := b.db.Shares(t.Context(), store.ShareQuery{With: user(t, "dora")})
	if err != nil || len(shares) != 1 {
		t.Errorf("dora has %v, %v", shares, err)
	}
	want := []string{
		"INFO event=share-accepted by=dora by_kind=user outcome=done request=r1 user=alice server=x code=1",
		"INFO event=share-accepted by=bob by_kind=user outcome=done request=r1 user=alice server=x code=1"}
	if diff := cmp.Diff(want, b.journal.all()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	for _, what := range []string{"read share_codes", "update share_codes", "insert shares"} {
		b := newBench(t)
		dora := b.as(t, "dora")
		b.break_(t, what)
		if _, err := b.ExchangeCode(t.Context(), dora, "secret"); outcome(err) != "error" {
			t.Errorf("%s: %s", what, outcome(err))
		}
	}
}

// TestDeleteCodes checks that codes that are not the server's stay.
func TestDeleteCodes(t *testing.T) {
	b := newBench(t)
	dora := b.as(t, "dora")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{b.DeleteCode(t.Context(), dora, key(t, "alice:x"), 9), "not found no-code"},
		{b.DeleteCode(t.Context(), dora, key(t, "alice"), aCode), "not found no-code"},
		{b.DeleteCodeItself(t.Context(), dora, key(t, "alice:x"), "wrong"), "not found no-code"},
		{b.DeleteCodes(t.Context(), dora, key(t, "alice")), "ok"},
		{b.DeleteCodes(t.Context(), dora, key(t, "alice:y")), "not found no-server"},
	} {
		if got := outcome(tt.err); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
	if _, err := b.db.ShareCodeByHash(t.Context(), ident.HashToken("secret")); err != nil {
		t.Errorf("the code: %v", err)
	}
	if err := b.DeleteCodes(t.Context(), dora, key(t, "alice:x")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.ShareCodeByHash(t.Context(), ident.HashToken("secret")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the code: %v", err)
	}
}
