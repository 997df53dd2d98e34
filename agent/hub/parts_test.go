package hub

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/api"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func testUser(t *testing.T, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// unixGroupsOf is a name service, until it is down.
type unixGroupsOf struct {
	member map[string]bool
	down   error
}

func (u unixGroupsOf) MemberOf(_ context.Context, _ ident.User, group string) (bool, error) {
	return u.member[group], u.down
}

func (u unixGroupsOf) GroupExists(_ context.Context, group string) (bool, error) {
	return u.member[group], u.down
}

// savedGroups notes the groups that it is to save.
type savedGroups struct {
	groups []string
	from   store.Source
	full   error
}

func (s *savedGroups) SetMemberships(_ context.Context, _ ident.User, from store.Source, groups []string) error {
	s.groups, s.from = groups, from
	return s.full
}

func TestConfirmed(t *testing.T) {
	down, full := errors.New("no name service"), errors.New("disk full")
	for name, tt := range map[string]struct {
		unix unixGroupsOf
		full error
		want []string
		err  error
	}{
		"a member":        {unixGroupsOf{member: map[string]bool{"staff": true}}, nil, []string{"cgs", "staff"}, nil},
		"no member":       {unixGroupsOf{}, nil, []string{"cgs"}, nil},
		"no name service": {unixGroupsOf{down: down}, nil, nil, down},
		"no room":         {unixGroupsOf{}, full, []string{"cgs"}, full},
	} {
		t.Run(name, func(t *testing.T) {
			saved := &savedGroups{full: tt.full}
			err := confirmed([]string{"gpu", "staff"}, tt.unix, saved)(t.Context(), testUser(t, "alice"),
				[]string{"cgs"})
			if diff := cmp.Diff(tt.want, saved.groups); diff != "" || !errors.Is(err, tt.err) {
				t.Errorf("error %v, saved (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestUnixGroups(t *testing.T) {
	got := unixGroups(config.Access{UnixGroups: []string{"b", "a"}, AdminUnixGroups: []string{"b"},
		ImportUnixGroups: []string{"c", "a"}})
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCullPolicies(t *testing.T) {
	eight := 8 * time.Hour
	got := cullPolicies(config.Cull{Idle: time.Hour, Notice: time.Minute, MaxAge: 2 * time.Hour, MaxAgeBusy: true,
		GPUIdle: 3 * time.Hour, GPUAction: config.GPURestart,
		Groups: map[string]config.CullGroup{"staff": {Idle: &eight}, "gpu": {Exempt: true}}})
	want := cull.Policies{Default: cull.Policy{Idle: time.Hour, Notice: time.Minute, MaxAge: 2 * time.Hour,
		MaxAgeBusy: true, GPUIdle: 3 * time.Hour, GPURestart: true},
		Groups: map[string]cull.Override{"staff": {Idle: &eight}, "gpu": {Exempt: true}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if cullPolicies(config.Cull{GPUAction: "stop"}).Default.GPURestart {
		t.Error("a server is started again though the settings say stop")
	}
}

func TestTrustedProxies(t *testing.T) {
	c := &config.Config{}
	c.HTTP.TrustedProxies = append(c.HTTP.TrustedProxies, netip.MustParsePrefix("10.0.0.0/8"))
	if got := trustedProxies(c); len(got) != 0 {
		t.Errorf("without a proxy %v are trusted", got)
	}
	c.HTTP.BehindProxy = true
	if got := trustedProxies(c); len(got) != 1 {
		t.Errorf("behind a proxy %v are trusted", got)
	}
}

func TestRoutes(t *testing.T) {
	alice := ident.Key{User: testUser(t, "alice")}
	bob := ident.Key{User: testUser(t, "bob")}
	got := routes("/x/", origins.Origins{}, []servers.Server{{Key: alice, Name: "jupyter-alice.service",
		State:        servers.Ready,
		LastActivity: time.Unix(1, 0)},
		{Key: bob, State: servers.Starting}}, []services.Service{{Name: "board", Prefix: "/x/services/board/",
		URL: "unix:/run/board"}, {Name: "culler"}})
	want := map[string]api.Route{
		"/x/": {Spec: "/x/", Target: "hub", Data: map[string]any{"hub": true}},
		"/x/user/alice/": {Spec: "/x/user/alice/", Target: "jupyter-alice.service", Data: map[string]any{
			"user": alice.User, "server_name": alice.Server, "last_activity": "1970-01-01T00:00:01Z"}},
		"/x/services/board/": {Spec: "/x/services/board/", Target: "unix:/run/board",
			Data: map[string]any{"service": "board"}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b ident.User) bool { return a == b }),
		cmp.Comparer(func(a, b ident.Server) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHasPersistent(t *testing.T) {
	alice, bob := ident.Key{User: testUser(t, "alice")}, ident.Key{User: testUser(t, "bob")}
	down := errors.New("no launcher")
	has := hasPersistent(func(context.Context) ([]backend.PersistentContainer, error) {
		return []backend.PersistentContainer{{Key: alice}}, nil
	})
	for key, want := range map[ident.Key]bool{alice: true, bob: false} {
		if got, err := has(t.Context(), key); got != want || err != nil {
			t.Errorf("%v: %v, %v", key, got, err)
		}
	}
	_, err := hasPersistent(func(context.Context) ([]backend.PersistentContainer, error) {
		return nil,
			down
	})(t.Context(),
		alice)
	if !errors.Is(err, down) {
		t.Errorf("without a launcher: %v", err)
	}
}

// counted is how many users there are, and an error after some questions.
type counted struct {
	total int
	err   error
}

func (c counted) CountUsers(context.Context) (int, error) {
	if c.total < 0 {
		return 0, c.err
	}
	return c.total, nil
}

func (c counted) CountActive(_ context.Context, since time.Time) (int, error) {
	return int(time.Unix(0, 0).Sub(since) / (24 * time.Hour)), c.err
}

func TestCountUsers(t *testing.T) {
	u, err := countUsers(t.Context(), counted{total: 9}, time.Unix(0, 0))
	if err != nil || u.Total != 9 || u.Day != 1 || u.Week != 7 || u.Month != 30 {
		t.Errorf("%+v, %v", u, err)
	}
	locked := errors.New("database is locked")
	for _, from := range []counted{{-1, locked}, {9, locked}} {
		if u, err := countUsers(t.Context(), from, time.Unix(0, 0)); !errors.Is(err, locked) || u.Total != 0 {
			t.Errorf("%+v, %v", u, err)
		}
	}
}

func TestWarnUnknownGroups(t *testing.T) {
	h := testHub(t, false)
	var log bytes.Buffer
	h.log = slog.New(slog.NewTextHandler(&log, nil))
	if err := h.store.DeclareGroups(t.Context(), []store.Group{{Name: "cgs"}}); err != nil {
		t.Fatal(err)
	}
	h.cfg.Cull.Groups = map[string]config.CullGroup{"cgs": {}, "staff": {}, "typo": {}}
	h.warnUnknownGroups(t.Context(), unixGroupsOf{member: map[string]bool{"staff": true}})
	if text := log.String(); strings.Count(text, "cull-problem") != 1 || !strings.Contains(text, "typo") {
		t.Errorf("logged %s", text)
	}
	log.Reset()
	h.warnUnknownGroups(t.Context(), unixGroupsOf{down: errors.New("no name service")})
	if log.Len() > 0 {
		t.Errorf("without the name service: %s", &log)
	}
}

func TestMembers(t *testing.T) {
	h := testHub(t, false)
	now := time.Now()
	carol := ident.Key{User: testUser(t, "carol")}
	for _, v := range []struct {
		name string
		used time.Time
	}{{"alice", now}, {"carol", now.Add(-48 * time.Hour)}} {
		key := ident.Key{User: testUser(t, v.name)}
		if err := know(h.store)(t.Context(), key.User); err != nil {
			t.Fatal(err)
		}
		if err := h.store.UpsertServer(t.Context(), store.Server{Key: key, LastActivity: v.used}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		state servers.State
		want  string
	}{
		"one used, one runs": {servers.Ready, "alice carol"},
		"one used":           {servers.Failed, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			m := members{h.store, listed{{Key: carol, State: tt.state}}}
			recent, err := m.recent(t.Context(), now.Add(-24*time.Hour))
			if got := joined(recent); got != tt.want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
			if all, err := m.all(t.Context()); joined(all) != "alice carol dora" || err != nil {
				t.Errorf("all: %v, %v", all, err)
			}
		})
	}
}

type listed []servers.Server

func (l listed) List() []servers.Server { return l }

func joined(users []ident.User) string {
	var names []string
	for _, u := range users {
		names = append(names, u.String())
	}
	return strings.Join(names, " ")
}

func TestKnow(t *testing.T) {
	if err := know(failing{})(t.Context(), testUser(t, "alice")); err == nil {
		t.Error("an error of the database is lost")
	}
	if err := know(failing{store.ErrExists})(t.Context(), testUser(t, "alice")); err != nil {
		t.Errorf("a user who is known: %v", err)
	}
}

// failing is a database that takes no user.
type failing struct{ err error }

func (f failing) CreateUser(context.Context, store.User) error {
	if f.err == nil {
		return errors.New("disk full")
	}
	return f.err
}

func TestRedirect(t *testing.T) {
	for name, tt := range map[string]struct {
		public, uri, want string
		status            int
	}{
		"a page":         {"https://h.example.org/", "/hub/home?a=1", "https://h.example.org/hub/home?a=1", 308},
		"absolute form":  {"https://h.example.org/x/", "http://evil.example/a", "https://h.example.org/a", 308},
		"no path":        {"https://h.example.org/x/", "*", "https://h.example.org/x/", 308},
		"no public URL":  {"", "/", "", 400},
		"another's host": {"https://h.example.org/", "//evil.example/", "https://h.example.org//evil.example/", 308},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RequestURI = tt.uri
			r.URL, _ = r.URL.Parse(tt.uri)
			if strings.HasPrefix(tt.uri, "//") || tt.uri == "*" {
				r.URL.Host, r.URL.Path = "", tt.uri // as net/http reads it from a request line
			}
			w := httptest.NewRecorder()
			redirect(tt.public).ServeHTTP(w, r)
			if w.Code != tt.status || w.Header().Get("Location") != tt.want {
				t.Errorf("%d %q, want %d %q", w.Code, w.Header().Get("Location"), tt.status, tt.want)
			}
		})
	}
}

func TestSplitPublic(t *testing.T) {
	all := append(listening(t, "a")["a"], listening(t, "b")["b"]...)
	port := all[1].Addr().(*net.TCPAddr).Port
	main, redirected := splitPublic(all, port)
	if len(main) != 1 || main[0] != all[0] || len(redirected) != 1 || redirected[0] != all[1] {
		t.Errorf("main %v, redirected %v", main, redirected)
	}
}
