package actions

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/access/accesstest"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// bench is Actions over a real database with alice, bob and dora (an administrator). alice has a saved server "x",
// which is shared with bob, a share code ("secret") of it, and two tokens, one of them of the OAuth client "app". bob
// is in the group lab; "ext" is a service.
type bench struct {
	*Actions
	db      *store.Store
	path    string
	fleet   *fleet
	journal *journal
	auth    *access.Authority

	background sync.WaitGroup
	ended      []string // whose sessions were ended
	shutdowns  int
	postponed  error            // what Postpone returns
	sessions   error            // what EndSessions returns
	gone       map[string]error // by user, what MayEnter returns
}

func user(t testing.TB, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// key returns the server that "alice:x" or "alice" names.
func key(t testing.TB, name string) ident.Key {
	t.Helper()
	k := at(name)
	if k.User.IsZero() {
		t.Fatalf("%q is no server", name)
	}
	return k
}

// at is key without a test, zero for a name that cannot be.
func at(name string) ident.Key {
	u, s, _ := strings.Cut(name, ":")
	k, _ := ident.ParseKey(u, s)
	return k
}

func newBench(t testing.TB, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{journal: &journal{}, path: filepath.Join(t.TempDir(), "hub.sqlite")}
	b.fleet = &fleet{states: map[string]servers.State{}, persistent: map[string]bool{}}
	log := slog.New(slog.DiscardHandler)
	var err error
	if err := os.WriteFile(b.path, filled(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if b.db, err = store.Open(t.Context(), store.Config{Path: b.path, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.db.Close() })
	if b.auth, err = access.New(access.Config{Table: scopes.Default(), Records: b.db, Log: log}); err != nil {
		t.Fatal(err)
	}
	known, err := services.New(t.Context(), services.Config{BaseURL: "/", Records: b.db,
		Declared: []services.Service{{Name: "declared", RedirectURI: "/x"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Records: b.db, Authority: b.auth, Servers: b.fleet, Services: known, NamedServers: 2,
		TokenLife: time.Hour, MaxTokenLife: 24 * time.Hour, HasPersistent: b.fleet.hasPersistent,
		Postpone: func(ident.Key) error { return b.postponed },
		MayEnter: func(_ context.Context, u ident.User) error { return b.gone[u.String()] },
		EndSessions: func(_ context.Context, u ident.User) error {
			b.ended = append(b.ended, u.String())
			return b.sessions
		},
		Background: func(work func(context.Context)) {
			b.background.Go(func() { work(context.WithoutCancel(t.Context())) })
		},
		Shutdown: func() { b.shutdowns++ }, RequestID: func(context.Context) string { return "r1" },
		Log: slog.New(b.journal)}
	for _, f := range change {
		f(&c)
	}
	if b.Actions, err = New(c); err != nil {
		t.Fatal(err)
	}
	return b
}

// The numbers that fill gives.
const aCode, aToken, anOAuthToken = 1, 1, 2

// template is a database with the rows that bench describes, made once.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "actions")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := store.Open(context.Background(), store.Config{Path: filepath.Join(dir, "x"),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	var copied bytes.Buffer
	err = errors.Join(fill(db), db.BackupTo(context.Background(), &copied))
	return copied.Bytes(), err
})

func filled(t testing.TB) []byte {
	t.Helper()
	b, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill makes the rows that bench describes.
func fill(db *store.Store) error {
	ctx, at := context.Background(), time.Now()
	x, err := ident.ParseKey("alice", "x")
	bob, err2 := ident.ParseUser("bob")
	dora, err3 := ident.ParseUser("dora")
	open := []string{"access:servers!server=alice/x"}
	_, shared := db.GrantShare(ctx, store.Share{Key: x, User: bob, Scopes: open})
	_, coded := db.CreateShareCode(ctx, store.ShareCode{Hash: ident.HashToken("secret"), Key: x, Scopes: open,
		Created: at, Expires: at.Add(time.Hour)})
	_, made := db.CreateToken(ctx, store.Token{Hash: "1", Kind: store.APIToken, User: x.User})
	_, given := db.CreateToken(ctx, store.Token{Hash: "2", Kind: store.OAuthToken, User: x.User, ClientID: "app"})
	return errors.Join(err, err2, err3, shared, coded, made, given,
		db.CreateUser(ctx, store.User{Name: x.User}), db.CreateUser(ctx, store.User{Name: bob}),
		db.CreateUser(ctx, store.User{Name: dora, Admin: true}),
		db.CreateGroups(ctx, []store.Group{{Name: "lab", Users: []ident.User{bob}}}),
		db.UpsertServer(ctx, store.Server{Key: x, DisplayName: "x", UserOptions: map[string]any{"profile": "old"}}),
		db.SaveService(ctx, store.ServiceRecord{Name: "ext", Record: []byte("{}")}))
}

// as returns a user with the scopes of the role "user" and those given. "dora" is an administrator, "root" the
// operator, and a name that ends in ".svc" a service with the scopes alone.
func (b *bench) as(t testing.TB, name string, extra ...string) access.Subject {
	t.Helper()
	role := access.Role{Role: scopes.Role{Name: "extra", Scopes: extra}}
	service, isService := strings.CutSuffix(name, ".svc")
	if !isService {
		service = "none"
	}
	if !isService && name != "root" {
		role.Users = []ident.User{user(t, name)}
	}
	c := access.Config{Table: scopes.Default(), Records: b.db, Log: slog.New(slog.DiscardHandler)}
	if len(extra) > 0 {
		c.Roles = []access.Role{role}
	}
	auth, err := access.New(c)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case name == "root":
		return access.NewAuthenticator(access.Sources{Authority: auth}).Operator(t.Context())
	case isService:
		known, err := services.New(t.Context(), services.Config{BaseURL: "/", Records: b.db,
			Declared: []services.Service{{Name: service, TokenHash: ident.HashToken("svc"), Scopes: extra}}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := access.NewAuthenticator(access.Sources{Authority: auth, Servers: b.fleet, Services: known}).Bearer(
			t.Context(), "svc")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return accesstest.Subject(t, auth, login.Session{User: user(t, name), Admin: name == "dora", ID: "s"})
}

// exec changes the database behind the hub's back.
func (b *bench) exec(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// break_ makes an operation on a table fail: "read users" fails every statement on it, "insert users", "update users"
// and "delete users" those that change a row so.
func (b *bench) break_(t testing.TB, what string) {
	t.Helper()
	op, table, _ := strings.Cut(what, " ")
	if op == "read" {
		b.exec(t, "ALTER TABLE "+table+" RENAME TO gone")
		return
	}
	b.exec(t, fmt.Sprintf("CREATE TRIGGER broken BEFORE %s ON %s BEGIN SELECT RAISE(FAIL, 'disk full'); END", op,
		table))
}

// fleet is a manager of servers that behaves as the real one.
type fleet struct {
	mu         sync.Mutex
	states     map[string]servers.State
	persistent map[string]bool
	starts     []string // "alice:x profile", with " without" for none of its devices
	resets     []string
	touched    []string
	stopping   chan struct{} // a stop ends when this is closed; nil: at once
	stopErr    error
	startErr   error
	resetErr   error
	persistErr error
}

func (f *fleet) Get(k ident.Key) servers.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	return servers.Server{Key: k, State: cmp.Or(f.states[k.String()], servers.Stopped), Profile: "p"}
}

func (f *fleet) Of(u ident.User) (all []servers.Server) {
	f.mu.Lock()
	names := []string{}
	for name := range f.states {
		names = append(names, name)
	}
	f.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		owner, server, _ := strings.Cut(name, ":")
		k, _ := ident.ParseKey(owner, server)
		if k.User == u {
			all = append(all, f.Get(k))
		}
	}
	return all
}

func (f *fleet) Start(k ident.Key, profile string, o servers.Options) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := cmp.Or(f.states[k.String()], servers.Stopped)
	if f.startErr != nil {
		return f.startErr
	}
	if state.Active() && !(state == servers.Queued && o.WithoutGPUs) {
		return fmt.Errorf("server %s: %w", k, servers.ErrActive)
	}
	f.states[k.String()] = servers.Starting
	started := k.String() + " " + profile
	if o.WithoutGPUs {
		started += " without"
	}
	f.starts = append(f.starts, started)
	return nil
}

func (f *fleet) Stop(ctx context.Context, k ident.Key) error {
	f.mu.Lock()
	if !cmp.Or(f.states[k.String()], servers.Stopped).Active() {
		f.mu.Unlock()
		return fmt.Errorf("server %s: %w", k, servers.ErrNotActive)
	}
	if f.stopErr != nil {
		f.mu.Unlock()
		return f.stopErr
	}
	f.states[k.String()] = servers.Stopping
	wait := f.stopping
	f.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[k.String()] = servers.Stopped
	return nil
}

func (f *fleet) Reset(_ context.Context, k ident.Key) error {
	state := f.Get(k).State
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.resetErr != nil:
		return f.resetErr
	case state.Active():
		return fmt.Errorf("server %s: %w", k, servers.ErrActive)
	case !f.persistent[k.String()]:
		return fmt.Errorf("server %s: %w", k, servers.ErrNoContainer)
	}
	f.resets = append(f.resets, k.String())
	delete(f.persistent, k.String())
	return nil
}

func (f *fleet) Touch(k ident.Key, _ time.Time) { f.touched = append(f.touched, k.String()) }

func (f *fleet) TokenOwner(string) (ident.Key, bool) { return ident.Key{}, false }

func (f *fleet) hasPersistent(_ context.Context, k ident.Key) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.persistent[k.String()], f.persistErr
}

// journal holds what was written to it, one line an entry: level, then fields.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String()
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// outcome is how an act came out, in short: "ok", "Forbidden lacks-scope start:servers" or "error".
func outcome(err error) string {
	var f *Refusal
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &f):
		return "error"
	}
	names := map[Kind]string{Hidden: "hidden", NotFound: "not found", Forbidden: "forbidden", Conflict: "conflict",
		Limit: "limit", Invalid: "invalid", Unavailable: "unavailable"}
	words := names[f.Kind] + " " + string(f.Reason)
	if last := cmp.Or(f.Scope, f.Field); last != "" {
		words += " " + last
	}
	return words
}
