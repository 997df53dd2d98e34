package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func notFound(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("%s: error %v; want ErrNotFound", what, err)
	}
}

func TestUsers(t *testing.T) {
	s, c := openTest(t)
	ctx, alice, start := t.Context(), user(t, "alice"), c.now()
	_, err := s.UserByName(ctx, alice)
	notFound(t, "unknown user", err)
	ok(t, s.UpsertUser(ctx, User{Name: alice, DisplayName: "A", Admin: true}))
	ok(t, s.TouchUser(ctx, alice, start.Add(time.Hour)))
	ok(t, s.TouchUser(ctx, alice, start)) // back in time: ignored
	c.add(time.Minute)
	ok(t, s.UpsertUser(ctx, User{Name: alice, DisplayName: "Alice"}))
	ok(t, s.UpsertUser(ctx, User{Name: user(t, "bob")}))
	want := []User{
		{Name: alice, DisplayName: "Alice", Created: start, LastActivity: start.Add(time.Hour)},
		{Name: user(t, "bob"), Created: c.now()},
	}
	got, err := s.Users(ctx)
	ok(t, err)
	same(t, "users", want, got)
	n, err := s.CountUsers(ctx)
	ok(t, err)
	same(t, "number of users", 2, n)
	for since, want := range map[time.Duration]int{0: 1, time.Hour: 1, time.Hour + time.Second: 0} {
		n, err := s.CountActive(ctx, start.Add(since))
		ok(t, err)
		same(t, "users active since "+since.String(), want, n)
	}
}

func TestSessions(t *testing.T) {
	s, c := openTest(t)
	ctx, ss := t.Context(), s.Sessions()
	ok(t, ss.CommitCtx(ctx, "a", []byte("1"), c.now().Add(time.Hour)))
	ok(t, ss.CommitCtx(ctx, "a", []byte("2"), c.now().Add(time.Hour)))
	ok(t, ss.Commit("b", []byte("3"), c.now().Add(time.Minute)))
	data, found, err := ss.Find("a")
	if err != nil || !found || string(data) != "2" {
		t.Errorf("Find = %q, %v, %v; want 2", data, found, err)
	}
	c.add(time.Minute)
	if _, found, err := ss.FindCtx(ctx, "b"); found || err != nil {
		t.Errorf("expired session: %v, %v", found, err)
	}
	all, err := ss.AllCtx(ctx)
	ok(t, err)
	same(t, "sessions", map[string][]byte{"a": []byte("2")}, all)
	ok(t, ss.Delete("a"))
	ok(t, ss.Delete("a"))
	all, err = ss.AllCtx(ctx)
	ok(t, err)
	same(t, "sessions", map[string][]byte{}, all)
}

func sampleLogin(t *testing.T, s *Store, c *clock, name, id string) Login {
	t.Helper()
	u := user(t, name)
	ok(t, s.UpsertUser(t.Context(), User{Name: u}))
	l := Login{SessionID: id, User: u, Subject: "sub", Groups: []string{"cgs", "a b"}, Secret: []byte{1},
		Created: c.now(),
		Expires: c.now().Add(time.Hour), Seen: c.now(), Checked: c.now(), Attempted: c.now()}
	ok(t, s.CreateLogin(t.Context(), l))
	return l
}

func TestLogins(t *testing.T) {
	s, c := openTest(t)
	ctx := t.Context()
	l := sampleLogin(t, s, c, "alice", "s1")
	got, err := s.LoginByID(ctx, "s1")
	ok(t, err)
	same(t, "login", l, got)

	l.Admin, l.Groups, l.Secret, l.Checked = true, nil, []byte{2}, c.now().Add(time.Minute)
	ok(t, s.SaveCheck(ctx, l))
	l.Seen = c.now().Add(time.Second)
	ok(t, s.TouchLogin(ctx, "s1", l.Seen))
	ok(t, s.TouchLogin(ctx, "s1", c.now()))
	got, err = s.LoginByID(ctx, "s1")
	ok(t, err)
	same(t, "checked login", l, got)

	l.Secret, l.Created = []byte{3}, c.now().Add(time.Second)
	ok(t, s.CreateLogin(ctx, l))
	got, err = s.LoginByID(ctx, "s1")
	ok(t, err)
	same(t, "signed in again", l, got)
	other := l
	other.User = user(t, "bob")
	ok(t, s.UpsertUser(ctx, User{Name: other.User}))
	if err := s.CreateLogin(ctx, other); err == nil {
		t.Error("bob took over alice's session id")
	}

	c.add(time.Hour)
	_, err = s.LoginByID(ctx, "s1")
	notFound(t, "expired login", err)
}

func TestClaimCheckHasOneWinner(t *testing.T) {
	s, c := openTest(t)
	l := sampleLogin(t, s, c, "alice", "s1")
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			mine, err := s.ClaimCheck(t.Context(), "s1", l.Attempted, c.now().Add(time.Minute))
			if err != nil {
				t.Error(err)
			}
			if mine {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d callers won the claim; want 1", won.Load())
	}
}

func TestEndLogin(t *testing.T) {
	s, c := openTest(t)
	ctx := t.Context()
	l := sampleLogin(t, s, c, "alice", "s1")
	sampleLogin(t, s, c, "alice", "s2")
	sampleLogin(t, s, c, "bob", "s3")
	for hash, session := range map[string]string{"a": "s1", "b": "s2", "c": "s3", "d": ""} {
		_, err := s.CreateToken(ctx, Token{Hash: hash, Kind: OAuthToken, User: l.User, SessionID: session})
		ok(t, err)
	}
	ok(t, s.CreateCode(ctx, Code{Hash: "x", User: l.User, SessionID: "s1", Expires: c.now().Add(time.Hour)}))
	for want := range 2 { // the second time it has ended already
		ended, err := s.EndLogin(ctx, "s1")
		if err != nil || ended != (want == 0) {
			t.Errorf("EndLogin = %v, %v", ended, err)
		}
	}
	_, err := s.TokenByHash(ctx, "a")
	notFound(t, "token of the ended session", err)
	_, err = s.TakeCode(ctx, "x")
	notFound(t, "code of the ended session", err)
	ok(t, s.SaveCheck(ctx, l)) // a check that was under way brings nothing back
	_, err = s.LoginByID(ctx, "s1")
	notFound(t, "ended login", err)

	n, err := s.EndLoginsOf(ctx, l.User)
	if err != nil || n != 1 {
		t.Errorf("EndLoginsOf = %d, %v; want 1", n, err)
	}
	if _, err := s.EndLogin(ctx, ""); err != nil {
		t.Error(err)
	}
	for hash, want := range map[string]bool{"b": false, "c": true, "d": true} {
		if _, err := s.TokenByHash(ctx, hash); (err == nil) != want {
			t.Errorf("token %s: %v; want it there: %v", hash, err, want)
		}
	}
}

func TestTokens(t *testing.T) {
	s, c := openTest(t)
	ctx, alice := t.Context(), user(t, "alice")
	want := Token{Hash: ident.HashToken("secret"), Kind: APIToken, User: alice, ClientID: "cl", SessionID: "se",
		Scopes: []string{"self", `a"b`}, Note: "n", Created: c.now(), Expires: c.now().Add(time.Hour)}
	var err error
	want.ID, err = s.CreateToken(ctx, want)
	ok(t, err)
	if _, err := s.CreateToken(ctx, want); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("the same hash twice: %v; want an error", err)
	}
	for _, step := range []struct{ wait, used time.Duration }{{0, 0}, {59 * time.Second, 0},
		{time.Second, time.Minute}} {
		c.add(step.wait)
		ok(t, s.TouchToken(ctx, want.ID))
		want.LastUsed = want.Created.Add(step.used)
		got, err := s.TokenByHash(ctx, want.Hash)
		ok(t, err)
		same(t, "token", want, got)
	}
	all, err := s.TokensOf(ctx, alice)
	ok(t, err)
	same(t, "tokens", []Token{want}, all)
	notFound(t, "bob revokes alice's token", s.DeleteToken(ctx, user(t, "bob"), want.ID))
	c.add(time.Hour)
	_, err = s.TokenByHash(ctx, want.Hash)
	notFound(t, "expired token", err)
	ok(t, s.DeleteToken(ctx, alice, want.ID))
	id, err := s.CreateToken(ctx, Token{Hash: "h", Kind: OAuthToken, User: alice})
	ok(t, err)
	if id == want.ID {
		t.Error("the id of a revoked token was given again")
	}
	if _, err := s.CreateToken(ctx, Token{Hash: "i", Kind: "other", User: alice}); err == nil {
		t.Error("an unknown kind was saved")
	}
}

func TestTakeCodeOnce(t *testing.T) {
	s, c := openTest(t)
	want := Code{Hash: "h", User: user(t, "alice"), ClientID: "cl", RedirectURI: "/r", SessionID: "s",
		Scopes:        []string{"x"},
		CodeChallenge: "ch", CodeChallengeMethod: "S256", Expires: c.now().Add(5 * time.Minute)}
	ok(t, s.CreateCode(t.Context(), want))
	var took atomic.Int32
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			got, err := s.TakeCode(t.Context(), "h")
			if err == nil {
				took.Add(1)
				same(t, "code", want, got)
			} else {
				notFound(t, "second taker", err)
			}
		})
	}
	wg.Wait()
	if took.Load() != 1 {
		t.Errorf("%d callers took the code; want 1", took.Load())
	}
	ok(t, s.CreateCode(t.Context(), want))
	c.add(5 * time.Minute)
	_, err := s.TakeCode(t.Context(), "h")
	notFound(t, "expired code", err)
}

func TestServers(t *testing.T) {
	s, c := openTest(t)
	ctx, now := t.Context(), c.now()
	def, err := ident.ParseKey("alice", "")
	ok(t, err)
	named, err := ident.ParseKey("alice", "gpu")
	ok(t, err)
	notFound(t, "touching an unknown server", s.TouchServer(ctx, def, now))
	ok(t, s.UpsertServer(ctx, Server{Key: named, Profile: "p"}))
	ok(t, s.UpsertServer(ctx, Server{Key: def, Profile: "p", Started: now, LastActivity: now}))
	ok(t, s.TouchServer(ctx, def, now.Add(time.Minute)))
	ok(t, s.TouchServer(ctx, def, now))
	ok(t, s.UpsertServer(ctx, Server{Key: def, Profile: "q", Started: now, LastFailure: "image missing"}))
	got, err := s.ServersOf(ctx, def.User)
	ok(t, err)
	same(t, "servers", []Server{
		{Key: def, Profile: "q", Started: now, LastActivity: now.Add(time.Minute), LastFailure: "image missing",
			Created: now},
		{Key: named, Profile: "p", Created: now},
	}, got)
	ok(t, s.UpsertServer(ctx, Server{Key: named, DisplayName: "GPU", UserOptions: map[string]any{"profile": "p"}}))
	ok(t, s.UpsertServer(ctx, Server{Key: named, Profile: "q"}))
	kept, err := s.ServerByKey(ctx, named)
	ok(t, err)
	same(t, "what is not said", Server{Key: named, Profile: "q", DisplayName: "GPU",
		UserOptions: map[string]any{"profile": "p"}, Created: now}, kept)
	ok(t, s.DeleteServer(ctx, named))
	_, err = s.ServerByKey(ctx, named)
	notFound(t, "deleted server", err)
}

func TestPurgeExpired(t *testing.T) {
	s, c := openTest(t)
	ctx := t.Context()
	l := sampleLogin(t, s, c, "alice", "s1") // an hour
	soon := c.now().Add(time.Minute)
	for hash, tok := range map[string]Token{"forever": {}, "soon": {Expires: soon}, "with session": {SessionID: "s1"}} {
		tok.Hash, tok.Kind, tok.User = hash, OAuthToken, l.User
		_, err := s.CreateToken(ctx, tok)
		ok(t, err)
	}
	ok(t, s.CreateCode(ctx, Code{Hash: "x", User: l.User, Expires: soon}))
	ok(t, s.Sessions().CommitCtx(ctx, "t", nil, soon))
	for _, step := range []struct {
		wait time.Duration
		want int64
	}{{0, 0}, {time.Minute, 3}, {0, 0}, {time.Hour, 2}} {
		c.add(step.wait)
		if n, err := s.PurgeExpired(ctx); err != nil || n != step.want {
			t.Errorf("PurgeExpired = %d, %v; want %d", n, err, step.want)
		}
	}
	_, err := s.TokenByHash(ctx, "forever")
	ok(t, err)
}
