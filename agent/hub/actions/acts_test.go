package actions

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// act is one call of an act on the bench's objects, with what it needs and does.
type act struct {
	name  string
	do    func(t *testing.T, b *bench, s access.Subject) error
	scope string // the scope that it takes
	on    string // the filter that covers it: "server=alice/x"
	// journal is the entry that it leaves after "by=… by_kind=… outcome=done request=r1"; "" for none.
	journal string
	// breaks are the operations on the database each of which makes it fail.
	breaks string
	setup  func(b *bench)
}

func acts() []act {
	const x = "server=alice/x"
	ctx := context.Background()
	ready := func(b *bench) { b.fleet.states["alice:x"] = servers.Ready }
	kept := func(b *bench) { b.fleet.persistent["alice:x"] = true }
	return []act{
		{"start", func(t *testing.T, b *bench, s access.Subject) error {
			return b.Start(ctx, s, StartRequest{Key: key(t, "alice:x")})
		}, "start:servers", x, "server-start-requested user=alice server=x profile=old",
			"read users, read servers, update servers", nil},
		{"create a server", func(t *testing.T, b *bench, s access.Subject) error {
			return b.CreateServer(ctx, s, key(t, "alice:y"), "Y", nil)
		}, "start:servers", "server=alice/y", "server-created user=alice server=y",
			"read users, read servers, insert servers", nil},
		{"change a server", func(t *testing.T, b *bench, s access.Subject) error {
			return b.ChangeServer(ctx, s, key(t, "alice:x"), ServerChange{Options: map[string]any{"a": 1}})
		}, "start:servers", x, "server-changed user=alice server=x",
			"read users, read servers, update servers", nil},
		{"rename a server", func(t *testing.T, b *bench, s access.Subject) error {
			name := key(t, "alice:y").Server
			return b.ChangeServer(ctx, s, key(t, "alice:x"), ServerChange{Name: &name})
		}, "start:servers", "user=alice", "server-renamed user=alice server=x new_name=y",
			"read users, read servers, update servers, update shares, update share_codes", nil},
		{"stop", func(t *testing.T, b *bench, s access.Subject) error {
			_, err := b.Stop(ctx, s, key(t, "alice:x"), time.Minute)
			return err
		}, "delete:servers", x, "server-stop-requested user=alice server=x", "", ready},
		{"remove a server", func(t *testing.T, b *bench, s access.Subject) error {
			_, err := b.RemoveServer(ctx, s, key(t, "alice:x"), false, 0)
			return err
		}, "delete:servers", x, "server-deleted user=alice server=x",
			"read servers, delete servers, delete shares, delete share_codes", nil},
		{"reset", func(t *testing.T, b *bench, s access.Subject) error {
			return b.Reset(ctx, s, key(t, "alice:x"), false)
		}, "delete:servers", x, "server-reset user=alice server=x", "read servers", kept},
		{"postpone", func(t *testing.T, b *bench, s access.Subject) error {
			return b.Postpone(ctx, s, key(t, "alice:x"))
		}, "start:servers", x, "server-end-postponed user=alice server=x", "", ready},
		{"open", func(t *testing.T, b *bench, s access.Subject) error {
			return b.OpenServer(ctx, s, key(t, "alice:x"))
		}, "access:servers", x, "server-opened user=alice server=x", "", nil},
		{"create a user", func(t *testing.T, b *bench, s access.Subject) error {
			_, _, err := b.CreateUsers(ctx, s, []ident.User{user(t, "eve")}, false)
			return err
		}, "admin:users", "user=eve", "user-created user=eve admin=false", "read users, insert users", nil},
		{"set admin", func(t *testing.T, b *bench, s access.Subject) error {
			return b.SetAdmin(ctx, s, user(t, "bob"), false)
		}, "admin:users", "user=bob", "", "read users", nil},
		{"delete a user", func(t *testing.T, b *bench, s access.Subject) error {
			return b.DeleteUser(ctx, s, user(t, "alice"), false)
		}, "delete:users", "user=alice", "user-deleted user=alice",
			"read users, delete users, delete servers, delete shares, delete share_codes, delete tokens", nil},
		{"create a group", func(t *testing.T, b *bench, s access.Subject) error {
			return b.CreateGroups(ctx, s, []string{"new"}, []ident.User{user(t, "bob")})
		}, "admin:groups", "group=new", "group-created group=new users=bob",
			"read users, insert user_groups, insert memberships", nil},
		{"delete a group", func(_ *testing.T, b *bench, s access.Subject) error { return b.DeleteGroup(ctx, s, "lab") },
			"delete:groups", "group=lab", "group-deleted group=lab users=bob",
			"read user_groups, delete user_groups", nil},
		{"add members", func(t *testing.T, b *bench, s access.Subject) error {
			return b.AddMembers(ctx, s, "lab", []ident.User{user(t, "alice"), user(t, "bob")})
		}, "groups", "group=lab", "group-members group=lab change=add users=alice bob",
			"read users, read user_groups, insert memberships", nil},
		{"remove members", func(t *testing.T, b *bench, s access.Subject) error {
			return b.RemoveMembers(ctx, s, "lab", []ident.User{user(t, "bob")})
		}, "groups", "group=lab", "group-members group=lab change=remove users=bob",
			"read users, read user_groups, delete memberships", nil},
		{"set properties", func(_ *testing.T, b *bench, s access.Subject) error {
			return b.SetGroupProperties(ctx, s, "lab", map[string]any{"a": 1})
		}, "groups", "group=lab", "group-properties group=lab", "read user_groups, update user_groups", nil},
		{"revoke a share", func(t *testing.T, b *bench, s access.Subject) error {
			_, err := b.RevokeShare(ctx, s, key(t, "alice:x"), Grantee{User: user(t, "bob")}, nil)
			return err
		}, "shares", x, "share-revoked user=alice server=x with=bob",
			"read users, read servers, read shares, delete shares", nil},
		{"revoke all shares", func(t *testing.T, b *bench, s access.Subject) error {
			return b.RevokeShares(ctx, s, key(t, "alice:x"))
		}, "shares", x, "share-revoked user=alice server=x", "read users, read servers, delete shares", nil},
		{"leave a share", func(t *testing.T, b *bench, s access.Subject) error {
			return b.LeaveShare(ctx, s, key(t, "alice:x"), Grantee{User: user(t, "bob")})
		}, "users:shares", "user=bob", "share-left user=alice server=x with=bob", "read shares, delete shares", nil},
		{"delete a code", func(t *testing.T, b *bench, s access.Subject) error {
			return b.DeleteCode(ctx, s, key(t, "alice:x"), aCode)
		}, "shares", x, "share-code-deleted user=alice server=x code=1",
			"read users, read servers, delete share_codes", nil},
		{"delete a code by itself", func(t *testing.T, b *bench, s access.Subject) error {
			return b.DeleteCodeItself(ctx, s, key(t, "alice:x"), "secret")
		}, "shares", x, "share-code-deleted user=alice server=x", "read users, read servers, delete share_codes", nil},
		{"delete all codes", func(t *testing.T, b *bench, s access.Subject) error {
			return b.DeleteCodes(ctx, s, key(t, "alice:x"))
		}, "shares", x, "share-code-deleted user=alice server=x", "read users, read servers, delete share_codes", nil},
		{"revoke a token", func(t *testing.T, b *bench, s access.Subject) error {
			return b.RevokeToken(ctx, s, user(t, "alice"), aToken)
		}, "tokens", "user=alice", "token-revoked user=alice token=1", "read tokens, delete tokens", nil},
		{"revoke a client", func(t *testing.T, b *bench, s access.Subject) error {
			return b.RevokeClient(ctx, s, user(t, "alice"), "app")
		}, "tokens", "user=alice", "token-revoked user=alice client=app", "read tokens, delete tokens", nil},
		{"add a service", func(_ *testing.T, b *bench, s access.Subject) error {
			return b.AddService(ctx, s, services.Service{Name: "new"}, "12345678")
		}, "admin:services", "service=new", "service-added service=new admin=false", "insert services", nil},
		{"remove a service", func(_ *testing.T, b *bench, s access.Subject) error {
			return b.RemoveService(ctx, s, "ext")
		}, "admin:services", "service=ext", "service-removed service=ext", "delete services", nil},
		{"report activity", func(t *testing.T, b *bench, s access.Subject) error {
			return b.ReportActivity(ctx, s, user(t, "alice"), Activity{User: time.Now(),
				Servers: map[ident.Key]time.Time{key(t, "alice:x"): time.Now()}})
		}, "users:activity", "user=alice", "", "read users, read servers, update users, update servers", nil},
		{"shut down", func(_ *testing.T, b *bench, s access.Subject) error { return b.Shutdown(ctx, s) },
			"shutdown", "", "shutdown-requested", "", nil},
	}
}

// setUp makes a bench for the act.
func (a act) setUp(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	if a.setup != nil {
		a.setup(b)
	}
	return b
}

// TestWhoMay checks for each act that its scope suffices, that the scope with another filter does not show that there
// is anything, and that nobody else may; and what the journal has of it.
func TestWhoMay(t *testing.T) {
	for _, a := range acts() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			covers := a.scope
			if a.on != "" {
				covers += "!" + a.on
			}
			b := a.setUp(t)
			if got := outcome(a.do(t, b, b.as(t, "mallory.svc", covers))); got != "ok" {
				t.Errorf("with %s: %s", covers, got)
			}
			var want []string
			if a.journal != "" {
				event, rest, _ := strings.Cut(a.journal, " ")
				want = []string{strings.TrimSpace("WARN event=" + event +
					" by=mallory by_kind=service outcome=done request=r1 " + rest)}
			}
			if diff := cmp.Diff(want, b.journal.all()); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
			a.refused(t, "forbidden lacks-scope "+a.scope, "mallory.svc", "read:hub")
			if a.on != "" {
				kind, _, _ := strings.Cut(a.on, "=")
				other := map[string]string{"server": "server=bob/", "user": "user=dora", "group": "group=other",
					"service": "service=other"}[kind]
				a.refused(t, "hidden lacks-scope", "mallory.svc", a.scope+"!"+other)
			}
			b = a.setUp(t)
			if got := outcome(a.do(t, b, b.as(t, "dora"))); got != "ok" {
				t.Errorf("an administrator: %s", got)
			}
		})
	}
}

// refused checks that a subject may not, and that nothing is in the journal.
func (a act) refused(t *testing.T, want, name string, extra ...string) {
	t.Helper()
	b := a.setUp(t)
	if got := outcome(a.do(t, b, b.as(t, name, extra...))); got != want {
		t.Errorf("%s with %v: %s, want %s", name, extra, got, want)
	}
	if lines := b.journal.all(); len(lines) > 0 {
		t.Errorf("a refused act is in the journal: %v", lines)
	}
}

// TestFailures breaks the database in each way that an act cannot do without: it fails, not with a refusal, and has no
// entry in the journal or one that says so.
func TestFailures(t *testing.T) {
	for _, a := range acts() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			for what := range strings.SplitSeq(a.breaks, ", ") {
				if what == "" {
					continue
				}
				b := a.setUp(t)
				s := b.as(t, "dora")
				b.break_(t, what)
				if got := outcome(a.do(t, b, s)); got != "error" {
					t.Errorf("%s: %s", what, got)
				}
				for _, line := range b.journal.all() {
					if !strings.Contains(line, "outcome=failed error=") {
						t.Errorf("%s: the journal has %s", what, line)
					}
				}
			}
		})
	}
}
