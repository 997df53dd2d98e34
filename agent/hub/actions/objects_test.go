package actions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestAdmins checks who makes, changes and deletes administrators.
func TestAdmins(t *testing.T) {
	const all = "admin:users"
	tests := map[string]struct {
		by    string
		extra []string
		do    func(b *bench, s subject) error
		want  string
	}{
		"an administrator makes one":     {"dora", nil, mark("alice", true), "ok"},
		"an administrator ends one":      {"dora", nil, mark("dora", false), "ok"},
		"a user with the scope does not": {"bob", []string{all}, mark("alice", true), "forbidden admins-only"},
		"nor themselves":                 {"bob", []string{all}, mark("bob", true), "forbidden admins-only"},
		"nor ends one":                   {"bob", []string{all}, mark("dora", false), "forbidden admins-only"},
		"nor makes one again":            {"bob", []string{all}, mark("dora", true), "forbidden admins-only"},
		"nothing to change":              {"bob", []string{all}, mark("alice", false), "ok"},
		"nobody":                         {"dora", nil, mark("carol", true), "not found no-user"},
		"a new administrator": {"dora", nil, func(b *bench, s subject) error {
			_, _, err := b.CreateUsers(context.Background(), s, []ident.User{at("eve").User}, true)
			return err
		}, "ok"},
		"a new administrator by a user": {"bob", []string{all}, func(b *bench, s subject) error {
			_, _, err := b.CreateUsers(context.Background(), s, []ident.User{at("eve").User}, true)
			return err
		}, "forbidden admins-only"},
		"deleted by one":           {"dora", nil, drop("alice"), "ok"},
		"deleted by a user":        {"bob", []string{"delete:users"}, drop("alice"), "ok"},
		"one deleted by a user":    {"bob", []string{"delete:users"}, drop("dora"), "forbidden admins-only"},
		"one deleted by a service": {"x.svc", []string{"delete:users"}, drop("dora"), "forbidden admins-only"},
		"oneself":                  {"dora", nil, drop("dora"), "conflict oneself"},
		"nobody deleted":           {"dora", nil, drop("carol"), "not found no-user"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if got := outcome(tt.do(b, b.as(t, tt.by, tt.extra...))); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if lines := b.journal.all(); tt.want != "ok" && len(lines) > 0 {
				t.Errorf("the journal has %v", lines)
			}
		})
	}
}

func mark(name string, admin bool) func(b *bench, s subject) error {
	return func(b *bench, s subject) error { return b.SetAdmin(context.Background(), s, at(name).User, admin) }
}

func drop(name string) func(b *bench, s subject) error {
	return func(b *bench, s subject) error { return b.DeleteUser(context.Background(), s, at(name).User, true) }
}

// TestSetAdmin checks what is saved, and that nothing is where nothing changes.
func TestSetAdmin(t *testing.T) {
	b := newBench(t)
	dora, alice := b.as(t, "dora"), user(t, "alice")
	for _, admin := range []bool{false, true, true, false} {
		if err := b.SetAdmin(t.Context(), dora, alice, admin); err != nil {
			t.Fatal(err)
		}
		if rec, err := b.db.UserByName(t.Context(), alice); err != nil || rec.Admin != admin {
			t.Errorf("administrator: %v, %v", rec.Admin, err)
		}
	}
	want := []string{"WARN event=user-admin by=dora by_kind=user outcome=done request=r1 user=alice admin=true",
		"WARN event=user-admin by=dora by_kind=user outcome=done request=r1 user=alice admin=false"}
	if diff := cmp.Diff(want, b.journal.all()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	b.break_(t, "update users")
	if got := outcome(b.SetAdmin(t.Context(), dora, alice, true)); got != "error" {
		t.Errorf("with a full disk: %s", got)
	}
}

// TestCreateUsers checks that those who are known stay, and that users are made up to an error.
func TestCreateUsers(t *testing.T) {
	b := newBench(t)
	dora := b.as(t, "dora")
	names := []ident.User{user(t, "eve"), user(t, "alice"), user(t, "eve"), user(t, "dora"), user(t, "fay")}
	made, known, err := b.CreateUsers(t.Context(), dora, names, true)
	if got := fmt.Sprint(len(made), known, err); got != "2 [alice eve dora] <nil>" {
		t.Error(got)
	}
	for _, u := range made {
		if !u.Admin || u.Created.IsZero() {
			t.Errorf("made %+v", u)
		}
	}
	if rec, err := b.db.UserByName(t.Context(), user(t, "alice")); err != nil || rec.Admin {
		t.Errorf("alice is an administrator: %v, %v", rec.Admin, err)
	}
	if lines := b.journal.all(); len(lines) != 2 || !strings.Contains(lines[0], "user=eve admin=true") {
		t.Errorf("the journal has %v", lines)
	}
	b.break_(t, "insert users")
	made, known, err = b.CreateUsers(t.Context(), dora, []ident.User{user(t, "gil")}, false)
	if len(made)+len(known) > 0 || err == nil {
		t.Errorf("with a full disk: made %v, %v", made, err)
	}
}

// TestDeleteUser checks what becomes of a user's servers and sessions.
func TestDeleteUser(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		state    servers.State
		stop     bool
		stopErr  error
		sessions error
		want     string
		deleted  bool
	}{
		"no server runs":           {"", false, nil, nil, "ok", true},
		"one runs":                 {servers.Ready, false, nil, nil, "conflict running", false},
		"one is starting":          {servers.Starting, false, nil, nil, "conflict starting", false},
		"one is stopping":          {servers.Stopping, true, nil, nil, "conflict stopping", false},
		"one runs, stopped":        {servers.Ready, true, nil, nil, "ok", true},
		"one does not stop":        {servers.Ready, true, broken, nil, "error", false},
		"one has just stopped":     {servers.Ready, true, fmt.Errorf("x: %w", servers.ErrNotActive), nil, "ok", true},
		"sessions cannot be ended": {"", false, nil, broken, "error", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.fleet.stopErr, b.sessions = tt.stopErr, tt.sessions
			if b.fleet.states["alice"] = servers.Stopped; tt.state != "" {
				b.fleet.states["alice:x"] = tt.state
			}
			if got := outcome(b.DeleteUser(t.Context(), b.as(t, "dora"), user(t, "alice"), tt.stop)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			_, err := b.db.UserByName(t.Context(), user(t, "alice"))
			if gone := errors.Is(err, store.ErrNotFound); gone != tt.deleted {
				t.Errorf("deleted: %v, %v", gone, err)
			}
			if ended := len(b.ended) > 0; ended != (tt.deleted || tt.sessions != nil) {
				t.Errorf("ended the sessions of %v", b.ended)
			}
		})
	}
	b := newBench(t)
	if err := b.deleteUser(t.Context(), user(t, "carol")); err != nil {
		t.Errorf("deleted by another at the same moment: %v", err)
	}
}

// TestGroups goes through the refusals.
func TestGroups(t *testing.T) {
	ctx := t.Context()
	carol, bob := []ident.User{at("carol").User}, []ident.User{at("bob").User}
	tests := map[string]struct {
		do   func(b *bench, s subject) error
		want string
	}{
		"make": {func(b *bench, s subject) error { return b.CreateGroups(ctx, s, []string{"a", "b"}, bob) },
			"ok"},
		"make with nobody": {func(b *bench, s subject) error { return b.CreateGroups(ctx, s, []string{"a"}, nil) },
			"ok"},
		"make with a stranger": {func(b *bench, s subject) error {
			return b.CreateGroups(ctx, s, []string{"a"},
				carol)
		},
			"invalid no-user users"},
		"make one that exists": {func(b *bench, s subject) error {
			return b.CreateGroups(ctx, s, []string{"a", "lab"},
				nil)
		},
			"conflict group-exists"},
		"make one without a name": {func(b *bench, s subject) error {
			return b.CreateGroups(ctx, s, []string{""},
				nil)
		},
			"invalid bad-name name"},
		"delete none": {func(b *bench, s subject) error { return b.DeleteGroup(ctx, s, "a") }, "not found no-group"},
		"add to none": {func(b *bench, s subject) error { return b.AddMembers(ctx, s, "a", bob) },
			"not found no-group"},
		"add a stranger": {func(b *bench, s subject) error { return b.AddMembers(ctx, s, "lab", carol) },
			"invalid no-user users"},
		"remove from none": {func(b *bench, s subject) error { return b.RemoveMembers(ctx, s, "a", bob) },
			"not found no-group"},
		"properties of none": {func(b *bench, s subject) error { return b.SetGroupProperties(ctx, s, "a", nil) },
			"not found no-group"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if got := outcome(tt.do(b, b.as(t, "dora"))); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			groups, err := b.db.Groups(context.Background())
			if want := 1 + len(b.journal.all()); err != nil || len(groups) != want {
				t.Errorf("there are %d groups, want %d, %v", len(groups), want, err)
			}
		})
	}
	b := newBench(t)
	for _, step := range []struct {
		do   func(context.Context, subject, string, []ident.User) error
		want string
	}{{b.AddMembers, "[alice bob]"}, {b.RemoveMembers, "[bob]"}} {
		if err := step.do(ctx, b.as(t, "dora"), "lab", []ident.User{user(t, "alice")}); err != nil {
			t.Fatal(err)
		}
		if got, err := b.db.Members(ctx, "lab"); err != nil || fmt.Sprint(got) != step.want {
			t.Errorf("members are %v, want %s, %v", got, step.want, err)
		}
	}
}

// TestServices goes through the refusals.
func TestServices(t *testing.T) {
	ctx := t.Context()
	const may = "admin:services"
	tests := map[string]struct {
		by    string
		extra []string
		v     services.Service
		token string
		want  string
	}{
		"a new one":          {"dora", nil, services.Service{Name: "new", Admin: true}, "12345678", "ok"},
		"without a token":    {"dora", nil, services.Service{Name: "new"}, "", "ok"},
		"one that exists":    {"dora", nil, services.Service{Name: "ext"}, "", "conflict service-exists"},
		"with a short token": {"dora", nil, services.Service{Name: "new"}, "1234567", "invalid bad-service api_token"},
		"that cannot be": {"dora", nil, services.Service{Name: "new", URL: "ftp://x"}, "",
			"invalid bad-service service"},
		"an administrator by a user": {"bob", []string{may}, services.Service{Name: "new", Admin: true}, "",
			"invalid admins-only admin"},
		"by a user": {"bob", []string{may}, services.Service{Name: "new"}, "", "ok"},
		"with more than the user may": {"bob", []string{may}, services.Service{Name: "new",
			AllowedScopes: []string{"shutdown"}}, "", "invalid exceeds-rights oauth_client_allowed_scopes"},
		"with what the user may": {"bob", []string{may, "read:hub"}, services.Service{Name: "new",
			AllowedScopes: []string{"read:hub"}}, "", "ok"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if got := outcome(b.AddService(ctx, b.as(t, tt.by, tt.extra...), tt.v, tt.token)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			added, is := b.cfg.Services.Get("new")
			if is != (tt.want == "ok") || is && (added.TokenHash != "") != (tt.token != "") ||
				is && added.TokenHash == tt.token && tt.token != "" {
				t.Errorf("added: %v %+v", is, added)
			}
		})
	}
	b := newBench(t)
	dora := b.as(t, "dora")
	for name, want := range map[string]string{"declared": "conflict declared", "none": "not found no-service",
		"ext": "ok"} {
		if got := outcome(b.RemoveService(ctx, dora, name)); got != want {
			t.Errorf("remove %s: %s, want %s", name, got, want)
		}
	}
}

// full is a registry that cannot add: another request has just added the same, or the disk is full.
type full struct{ err error }

func (full) Get(string) (services.Service, bool) { return services.Service{}, false }
func (f full) Add(services.Service) error        { return f.err }
func (f full) Remove(string) error               { return f.err }

func TestServicesFail(t *testing.T) {
	for want, err := range map[string]error{"error": errors.New("disk full"),
		"conflict service-exists": fmt.Errorf("x: %w", store.ErrExists)} {
		b := newBench(t, func(c *Config) { c.Services = full{err} })
		if got := outcome(b.AddService(t.Context(), b.as(t, "dora"), services.Service{Name: "new"}, "")); got != want {
			t.Errorf("add: %s, want %s", got, want)
		}
		if got := outcome(b.RemoveService(t.Context(), b.as(t, "dora"), "new")); got != "error" {
			t.Errorf("remove: %s", got)
		}
	}
}

// TestReportActivity goes through the refusals, and finds the times again.
func TestReportActivity(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	ctx := t.Context()
	b := newBench(t)
	root := b.as(t, "root")
	x, y := key(t, "alice:x"), key(t, "alice:y")
	b.fleet.states["alice:y"], b.fleet.states["carol"] = servers.Ready, servers.Ready
	report := func(u string, at time.Time, keys ...ident.Key) string {
		r := Activity{User: at, Servers: map[ident.Key]time.Time{}}
		for _, k := range keys {
			r.Servers[k] = now
		}
		return outcome(b.ReportActivity(ctx, root, user(t, u), r))
	}
	for _, tt := range []struct{ got, want string }{
		{report("alice", now, x, y), "ok"},
		{report("alice", time.Time{}, x), "ok"},
		{report("alice", now, key(t, "alice:z")), "invalid no-server servers"},
		{report("alice", now, key(t, "carol")), "invalid no-server servers"},
		{report("eve", now), "not found no-user"},
		{report("carol", now, key(t, "carol")), "ok"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s, want %s", tt.got, tt.want)
		}
	}
	for _, k := range []ident.Key{x, y, key(t, "carol")} {
		if rec, err := b.db.ServerByKey(ctx, k); err != nil || !rec.LastActivity.Equal(now) {
			t.Errorf("%s was active at %v, %v", k, rec.LastActivity, err)
		}
	}
	if rec, err := b.db.UserByName(ctx, x.User); err != nil || !rec.LastActivity.Equal(now) {
		t.Errorf("alice was active at %v, %v", rec.LastActivity, err)
	}
	if rec, err := b.db.ServerByKey(ctx, y); err != nil || rec.Profile != "p" {
		t.Errorf("the server that was lost is %+v, %v", rec, err)
	}
	if lines := b.journal.all(); len(lines) > 0 || len(b.fleet.touched) != 4 {
		t.Errorf("the journal has %v; touched %v", lines, b.fleet.touched)
	}
}

// TestPullImage checks who may, and that a pull that goes on leaves no entry.
func TestPullImage(t *testing.T) {
	b := newBench(t)
	begins, begun := true, 0
	begin := func() bool { begun++; return begins }
	if got := outcome(b.PullImage(t.Context(), b.as(t, "bob", "admin:servers"), "i", begin)); got !=
		"forbidden admins-only" || begun > 0 {
		t.Errorf("%s, begun %d", got, begun)
	}
	for range 2 {
		if err := b.PullImage(t.Context(), b.as(t, "dora"), "i", begin); err != nil {
			t.Error(err)
		}
		begins = false
	}
	want := []string{"WARN event=image-pull-requested by=dora by_kind=user outcome=done request=r1 image=i"}
	if diff := cmp.Diff(want, b.journal.all()); diff != "" || begun != 2 {
		t.Errorf("begun %d, journal (-want +got):\n%s", begun, diff)
	}
}

// TestShutdown checks that the hub ends once, and not where the settings forbid it.
func TestShutdown(t *testing.T) {
	b := newBench(t)
	if err := b.Shutdown(t.Context(), b.as(t, "dora")); err != nil || b.shutdowns != 1 {
		t.Errorf("%d times, %v", b.shutdowns, err)
	}
	if got := outcome(b.Shutdown(t.Context(), b.as(t, "bob"))); got != "forbidden lacks-scope shutdown" ||
		b.shutdowns != 1 {
		t.Errorf("by bob: %s", got)
	}
	b.cfg.Shutdown = nil
	if got := outcome(b.Shutdown(t.Context(), b.as(t, "dora"))); got != "forbidden switched-off" {
		t.Error(got)
	}
}

// TestNew checks that nothing that is needed can be left out.
func TestNew(t *testing.T) {
	whole := newBench(t).cfg
	for name, without := range map[string]func(c *Config){
		"records": func(c *Config) { c.Records = nil }, "authority": func(c *Config) { c.Authority = nil },
		"servers": func(c *Config) { c.Servers = nil }, "services": func(c *Config) { c.Services = nil },
		"persistent": func(c *Config) { c.HasPersistent = nil }, "sessions": func(c *Config) { c.EndSessions = nil },
		"standings":  func(c *Config) { c.MayEnter = nil },
		"background": func(c *Config) { c.Background = nil }, "log": func(c *Config) { c.Log = nil },
	} {
		c := whole
		without(&c)
		if _, err := New(c); err == nil {
			t.Errorf("made without %s", name)
		}
	}
	c := whole
	c.Now, c.RequestID, c.Log = nil, nil, slog.New(slog.DiscardHandler)
	a, err := New(c)
	if err != nil || time.Since(a.cfg.Now()) > time.Minute {
		t.Fatalf("without a clock: %v", err)
	}
	a.audit(t.Context(), Record{})
}
