package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func users(t *testing.T, names ...string) (all []ident.User) {
	t.Helper()
	for _, n := range names {
		all = append(all, user(t, n))
	}
	return all
}

func TestGroups(t *testing.T) {
	s, _ := openTest(t)
	ctx, people := t.Context(), users(t, "alice", "bob")
	ok(t, s.CreateGroups(ctx, []Group{{Name: "lab one", Users: people, Properties: map[string]any{"gpu": 1.0}},
		{Name: "empty"}}))
	err := s.CreateGroups(ctx, []Group{{Name: "new"}, {Name: "empty"}})
	var exists *ExistsError
	if !errors.As(err, &exists) || exists.Name != "empty" || !errors.Is(err, ErrExists) {
		t.Errorf("making a group twice: %v", err)
	}
	_, err = s.GroupByName(ctx, "new")
	notFound(t, "group of a refused list", err)
	ok(t, s.SetMemberships(ctx, people[0], FromLogin, []string{"cgs", "lab one", "odd\n"}))
	got, err := s.GroupsOf(ctx, people[0])
	ok(t, err)
	same(t, "groups of alice", []string{"cgs", "lab one"}, got)
	ok(t, s.DeclareGroups(ctx, []Group{{Name: "lab one", Users: people[1:]}, {Name: "declared", Users: people[:1]}}))
	ok(t, s.RemoveFromGroup(ctx, "lab one", people[:1]))
	one, err := s.GroupByName(ctx, "lab one")
	ok(t, err)
	same(t, "lab one", Group{Name: "lab one", Users: people[1:], Properties: map[string]any{"gpu": 1.0}}, one)
	ok(t, s.SetMemberships(ctx, people[0], FromLogin, nil))
	ok(t, s.DeclareGroups(ctx, nil))
	all, err := s.Groups(ctx)
	ok(t, err)
	var names []string
	for _, g := range all {
		names = append(names, g.Name)
	}
	same(t, "groups that nobody made go with their members", []string{"declared", "empty", "lab one"}, names)
	ok(t, s.AddToGroup(ctx, "empty", people))
	ok(t, s.SetGroupProperties(ctx, "empty", map[string]any{"a": "b"}))
	notFound(t, "properties of no group", s.SetGroupProperties(ctx, "none", nil))
	ok(t, s.DeleteGroup(ctx, "empty"))
	notFound(t, "deleted twice", s.DeleteGroup(ctx, "empty"))
}

func TestGroupNames(t *testing.T) {
	s, _ := openTest(t)
	for name, bad := range map[string]string{"empty": "", "newline": "a\nb", "not UTF-8": "\xff",
		"long": string(bytes.Repeat([]byte("a"), 256))} {
		var invalid *InvalidNameError
		if err := s.CreateGroups(t.Context(), []Group{{Name: bad}}); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShares(t *testing.T) {
	s, c := openTest(t)
	ctx := t.Context()
	key, err := ident.ParseKey("alice", "")
	ok(t, err)
	bob := user(t, "bob")
	access, read := "access:servers!server=alice/", "read:servers!server=alice/"
	first, err := s.GrantShare(ctx, Share{Key: key, User: bob, Scopes: []string{read}})
	ok(t, err)
	c.add(time.Minute)
	more, err := s.GrantShare(ctx, Share{Key: key, User: bob, Scopes: []string{access, read}})
	ok(t, err)
	same(t, "share extended", Share{Key: key, User: bob, Scopes: []string{access, read}, Created: first.Created}, more)
	_, err = s.GrantShare(ctx, Share{Key: key, Group: "cgs", Scopes: []string{access}})
	ok(t, err)
	count := func(what string, want int, q ShareQuery) {
		t.Helper()
		got, err := s.Shares(ctx, q)
		ok(t, err)
		if len(got) != want {
			t.Errorf("%s: %d shares, want %d", what, len(got), want)
		}
	}
	count("all of alice", 2, ShareQuery{Owner: key.User})
	count("of her default server", 2, ShareQuery{Owner: key.User, Server: &key.Server})
	count("with bob", 1, ShareQuery{With: bob})
	count("with bob in cgs", 2, ShareQuery{With: bob, WithGroups: []string{"cgs"}})
	count("with the group", 1, ShareQuery{WithGroups: []string{"cgs"}})
	count("with nobody's group", 0, ShareQuery{WithGroups: []string{""}})
	left, err := s.RevokeShare(ctx, Share{Key: key, User: bob}, []string{read})
	ok(t, err)
	same(t, "what is left", []string{access}, left.Scopes)
	_, err = s.RevokeShare(ctx, Share{Key: key, User: bob}, nil)
	ok(t, err)
	_, err = s.RevokeShare(ctx, Share{Key: key, User: bob}, nil)
	notFound(t, "revoked twice", err)
	ok(t, s.CreateGroups(ctx, []Group{{Name: "cgs"}}))
	ok(t, s.DeleteGroup(ctx, "cgs"))
	count("after the group's end", 0, ShareQuery{})
	_, err = s.GrantShare(ctx, Share{Key: key, User: bob, Scopes: []string{access}})
	ok(t, err)
	ok(t, s.RevokeShares(ctx, key))
	count("after the end", 0, ShareQuery{})
}

func TestShareCodes(t *testing.T) {
	s, c := openTest(t)
	ctx := t.Context()
	key, err := ident.ParseKey("alice", "gpu")
	ok(t, err)
	code := ShareCode{Hash: "h", Key: key, Scopes: []string{"access:servers!server=alice/gpu"}, Created: c.now(),
		Expires: c.now().Add(time.Hour)}
	code.ID, err = s.CreateShareCode(ctx, code)
	ok(t, err)
	v, err := s.ExchangeShareCode(ctx, "h", user(t, "bob"))
	ok(t, err)
	same(t, "share", Share{Key: key, User: user(t, "bob"), Scopes: code.Scopes, Created: c.now()}, v)
	all, err := s.ShareCodes(ctx, key.User, &key.Server)
	ok(t, err)
	code.ExchangeCount, code.LastExchanged = 1, c.now()
	same(t, "codes", []ShareCode{code}, all)
	other, err := ident.ParseKey("bob", "")
	ok(t, err)
	notFound(t, "another's code", s.DeleteShareCode(ctx, other, code.ID))
	c.add(time.Hour)
	_, err = s.ExchangeShareCode(ctx, "h", user(t, "bob"))
	notFound(t, "expired code", err)
	_, err = s.ShareCodeByHash(ctx, "h")
	notFound(t, "expired code", err)
	ok(t, s.DeleteShareCodeByHash(ctx, key, "h"))
	ok(t, s.DeleteShareCodes(ctx, key))
	code.Hash, code.Expires = "h2", c.now().Add(time.Hour)
	_, err = s.CreateShareCode(ctx, code)
	ok(t, err)
	ok(t, s.DeleteServer(ctx, key))
	_, err = s.ShareCodeByHash(ctx, "h2")
	notFound(t, "code of a forgotten server", err)
	shares, err := s.Shares(ctx, ShareQuery{Owner: key.User})
	ok(t, err)
	same(t, "shares of a forgotten server", 0, len(shares))
}

func TestFindUsers(t *testing.T) {
	s, c := openTest(t)
	ctx := t.Context()
	for _, name := range []string{"dora", "Bob", "alice", "a_c"} {
		ok(t, s.CreateUser(ctx, User{Name: user(t, name)}))
		c.add(time.Second)
	}
	if err := s.CreateUser(ctx, User{Name: user(t, "dora")}); !errors.Is(err, ErrExists) {
		t.Errorf("a user made twice: %v", err)
	}
	ok(t, s.TouchUser(ctx, user(t, "Bob"), c.now()))
	tests := map[string]struct {
		q     UserQuery
		want  []string
		total int
	}{
		"oldest first":      {UserQuery{Sort: "id"}, []string{"dora", "Bob", "alice", "a_c"}, 4},
		"newest first":      {UserQuery{Sort: "-id", Limit: 2}, []string{"a_c", "alice"}, 4},
		"second page":       {UserQuery{Sort: "id", Limit: 2, Offset: 2}, []string{"alice", "a_c"}, 4},
		"by name":           {UserQuery{Sort: "name"}, []string{"Bob", "a_c", "alice", "dora"}, 4},
		"active last":       {UserQuery{Sort: "last_activity"}, []string{"a_c", "alice", "dora", "Bob"}, 4},
		"active first":      {UserQuery{Sort: "-last_activity", Limit: 1}, []string{"Bob"}, 4},
		"part of a name":    {UserQuery{Sort: "id", NameFilter: "B"}, []string{"Bob"}, 1},
		"no wildcards":      {UserQuery{Sort: "id", NameFilter: "a_"}, []string{"a_c"}, 1},
		"only some":         {UserQuery{Sort: "id", Only: users(t, "alice", "nobody")}, []string{"alice"}, 1},
		"only none":         {UserQuery{Sort: "id", Only: []ident.User{}}, nil, 0},
		"all but some":      {UserQuery{Sort: "id", Except: users(t, "alice", "dora")}, []string{"Bob", "a_c"}, 2},
		"beyond the end":    {UserQuery{Sort: "id", Offset: 9}, nil, 4},
		"a quote in a name": {UserQuery{Sort: "id", NameFilter: "' OR 1=1 --"}, nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, total, err := s.FindUsers(ctx, tt.q)
			ok(t, err)
			var names []string
			for _, u := range found {
				names = append(names, u.Name.String())
			}
			same(t, "users", tt.want, names)
			same(t, "total", tt.total, total)
		})
	}
	if _, _, err := s.FindUsers(ctx, UserQuery{Sort: "name; DROP TABLE users"}); err == nil {
		t.Error("an unknown order was taken")
	}
}

func TestAdminByAPI(t *testing.T) {
	s, _ := openTest(t)
	ctx, alice := t.Context(), user(t, "alice")
	admin := func(want bool) {
		t.Helper()
		u, err := s.UserByName(ctx, alice)
		ok(t, err)
		same(t, "admin", want, u.Admin)
	}
	ok(t, s.UpsertUser(ctx, User{Name: alice}))
	ok(t, s.SetAdmin(ctx, alice, true))
	ok(t, s.UpsertUser(ctx, User{Name: alice}))
	admin(true)
	ok(t, s.SetAdmin(ctx, alice, false))
	admin(false)
	ok(t, s.UpsertUser(ctx, User{Name: alice, Admin: true}))
	admin(true)
}

// TestAdminByRules checks that the administrators of the rules and those of the API have separate marks.
func TestAdminByRules(t *testing.T) {
	s, _ := openTest(t)
	ctx, alice := t.Context(), user(t, "alice")
	marks := func(admin, byAPI bool) {
		t.Helper()
		u, err := s.UserByName(ctx, alice)
		ok(t, err)
		same(t, "marks", [2]bool{admin, byAPI}, [2]bool{u.Admin, u.AdminByAPI})
	}
	rules := func(admin, other bool) {
		t.Helper()
		got, err := s.SetAdminByRules(ctx, alice, admin)
		ok(t, err)
		same(t, "something else than before", other, got)
	}
	ok(t, s.UpsertUser(ctx, User{Name: alice}))
	rules(true, true)
	rules(true, false)
	marks(true, false)
	rules(false, true)
	marks(false, false)
	ok(t, s.SetAdmin(ctx, alice, true))
	rules(false, false)
	marks(true, true)
}

func TestDeleteUser(t *testing.T) {
	s, c := openTest(t)
	ctx, alice := t.Context(), user(t, "alice")
	sampleLogin(t, s, c, "alice", "s1")
	key := ident.Key{User: alice}
	id, err := s.CreateToken(ctx, Token{Hash: "h", Kind: APIToken, User: alice})
	ok(t, err)
	ok(t, s.UpsertServer(ctx, Server{Key: key}))
	ok(t, s.SetMemberships(ctx, alice, FromLogin, []string{"cgs"}))
	_, err = s.GrantShare(ctx, Share{Key: key, Group: "cgs", Scopes: []string{"access:servers!server=alice/"}})
	ok(t, err)
	ok(t, s.DeleteUser(ctx, alice))
	notFound(t, "deleted twice", s.DeleteUser(ctx, alice))
	_, err = s.Token(ctx, alice, id)
	notFound(t, "token", err)
	_, err = s.LoginByID(ctx, "s1")
	notFound(t, "sign-in", err)
	_, err = s.ServerByKey(ctx, key)
	notFound(t, "server", err)
	left, err := s.Shares(ctx, ShareQuery{})
	ok(t, err)
	groups, err := s.Groups(ctx)
	ok(t, err)
	if len(left)+len(groups) > 0 {
		t.Errorf("left: shares %v, groups %v", left, groups)
	}
}

func TestServiceRecords(t *testing.T) {
	s, _ := openTest(t)
	ctx := t.Context()
	want := ServiceRecord{Name: "culler", Record: []byte(`{"a":1}`)}
	ok(t, s.SaveService(ctx, want))
	if err := s.SaveService(ctx, want); !errors.Is(err, ErrExists) {
		t.Errorf("saved twice: %v", err)
	}
	got, err := s.ServiceRecords(ctx)
	ok(t, err)
	same(t, "services", []ServiceRecord{want}, got)
	ok(t, s.ForgetService(ctx, "culler"))
	notFound(t, "forgotten twice", s.ForgetService(ctx, "culler"))
}

func TestDeleteTokensOfClient(t *testing.T) {
	s, _ := openTest(t)
	ctx, alice, bob := t.Context(), user(t, "alice"), user(t, "bob")
	for i, tok := range []Token{{User: alice, ClientID: "c"}, {User: alice, ClientID: "c"}, {User: bob, ClientID: "c"},
		{User: alice}} {
		tok.Hash, tok.Kind = fmt.Sprint(i), OAuthToken
		_, err := s.CreateToken(ctx, tok)
		ok(t, err)
	}
	n, err := s.DeleteTokensOfClient(ctx, alice, "c")
	ok(t, err)
	same(t, "deleted", int64(2), n)
	n, err = s.DeleteTokensOfClient(ctx, alice, "")
	ok(t, err)
	same(t, "of no client", int64(0), n)
}

// TestUpgradeKeepsRows opens a database as the first version left it.
func TestUpgradeKeepsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.sqlite")
	first, err := os.ReadFile("migrations/00001_first.sql")
	ok(t, err)
	execRaw(t, path, string(first))
	execRaw(t, path, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')));
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1);
		INSERT INTO users VALUES ('alice', 'Alice', 1, 1000, NULL);
		INSERT INTO servers VALUES ('alice', '', NULL, 'lab', 1000, '')`)
	s := openAt(t, path, newClock())
	u, err := s.UserByName(t.Context(), user(t, "alice"))
	ok(t, err)
	same(t, "user", User{Name: user(t, "alice"), DisplayName: "Alice", Admin: true,
		Created: time.UnixMicro(1000).UTC()}, u)
	v, err := s.ServerByKey(t.Context(), ident.Key{User: u.Name})
	ok(t, err)
	same(t, "server", Server{Key: ident.Key{User: u.Name}, Profile: "lab", Started: time.UnixMicro(1000).UTC()}, v)
}

func TestBackupTo(t *testing.T) {
	s, _ := openTest(t)
	ok(t, s.UpsertUser(t.Context(), User{Name: user(t, "alice")}))
	copied := filepath.Join(t.TempDir(), "copy.sqlite")
	f, err := os.Create(copied)
	ok(t, err)
	ok(t, s.BackupTo(t.Context(), f))
	ok(t, f.Close())
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.path), ".backup-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	again := openAt(t, copied, newClock())
	_, err = again.UserByName(t.Context(), user(t, "alice"))
	ok(t, err)
}

// many returns a database of 1,000 users with ten tokens each.
func many(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "hub.sqlite"), Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	tx, err := s.db.Begin()
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if _, err := tx.Exec(`INSERT INTO users (name, display_name, admin, created) VALUES (?, '', 0, ?)`,
			fmt.Sprintf("user%04d", i), i); err != nil {
			b.Fatal(err)
		}
		for j := range 10 {
			if _, err := tx.Exec(`INSERT INTO tokens (hash, kind, user, client_id, session_id, scopes, note, created)
				VALUES (?, 'api', ?, '', '', '["inherit"]', '', 0)`,
				fmt.Sprintf("%04d-%d", i, j), fmt.Sprintf("user%04d", i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkTokenByHash(b *testing.B) {
	s := many(b)
	for b.Loop() {
		if _, err := s.TokenByHash(b.Context(), "0500-5"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFindUsers(b *testing.B) {
	s := many(b)
	for b.Loop() {
		if _, total, err := s.FindUsers(b.Context(), UserQuery{Sort: "name", NameFilter: "7", Limit: 50}); err != nil ||
			total == 0 {
			b.Fatal(total, err)
		}
	}
}
