package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// What the hub wires in must fit.
var (
	_ signIn   = (*login.Service)(nil)
	_ states   = (*servers.Manager)(nil)
	_ browsers = (*access.Authenticator)(nil)
)

// now is the time on every test page.
var now = time.Date(2026, 3, 4, 15, 4, 5, 0, time.UTC)

// key returns a server: "alice" is her default one, "alice:x" one with a name.
func key(name string) ident.Key {
	user, server, _ := strings.Cut(name, ":")
	k, err := ident.ParseKey(user, server)
	if err != nil {
		panic(err)
	}
	return k
}

func users(names ...string) []ident.User {
	var all []ident.User
	for _, name := range names {
		all = append(all, key(name).User)
	}
	return all
}

// asCookie names whom a test's browser is signed in as. "dora" is an administrator.
var asCookie = cookies.New("/", true).Login()

// sessionOf returns the id of a user's session.
func sessionOf(user string) string { return "session-of-" + user }

// pageTokens are those of the hub's own pages.
var pageTokens = xsrf.New([]byte("a key of the tests, 32 bytes long"), func() time.Time { return now })

// fakeLogin believes a cookie, and has a provider that can be down.
type fakeLogin struct {
	callback string
	groups   []string
	fails    error // of Start, Callback and Ready
	plain    bool  // reached by http
}

func (f *fakeLogin) Session(r *http.Request) (login.Session, error) {
	c, err := r.Cookie(asCookie)
	if err != nil {
		return login.Session{}, login.ErrNoSession
	}
	if c.Value == "revoked" {
		return login.Session{}, &login.Denied{Reason: login.Revoked, User: key("alice").User}
	}
	return login.Session{ID: sessionOf(c.Value), User: key(c.Value).User, DisplayName: c.Value,
		Admin:  c.Value == "dora",
		Groups: f.groups}, nil
}

func (f *fakeLogin) SessionByID(context.Context, string) (login.Session, error) {
	return login.Session{}, login.ErrNoSession
}

func (f *fakeLogin) Start(w http.ResponseWriter, r *http.Request) error {
	if f.fails != nil {
		return f.fails
	}
	httpx.Redirect(w, http.StatusSeeOther, "https://id.example.org/?next="+url.QueryEscape(r.FormValue("next")))
	return nil
}

func (f *fakeLogin) Callback(w http.ResponseWriter, _ *http.Request) error {
	if f.fails != nil {
		return f.fails
	}
	httpx.Redirect(w, http.StatusSeeOther, "/hub/")
	return nil
}

func (f *fakeLogin) Logout(w http.ResponseWriter, _ *http.Request) error {
	httpx.Redirect(w, http.StatusSeeOther, "/hub/login")
	return nil
}

func (f *fakeLogin) CallbackPath() string                { return f.callback }
func (f *fakeLogin) Cookies() cookies.Names              { return cookies.New("/", !f.plain) }
func (f *fakeLogin) Wrap(next http.Handler) http.Handler { return next }
func (f *fakeLogin) Ready(context.Context) error         { return f.fails }

// fakeServers is a table in which starts and stops do nothing but be noted.
type fakeServers struct {
	table    map[ident.Key]servers.Server
	started  []string
	options  []servers.Options
	waits    map[ident.Key]servers.Queue
	stopped  []string
	startErr error
	stopErr  error
	resets   []string
	resetErr error
}

func (f *fakeServers) Get(k ident.Key) servers.Server {
	if s, ok := f.table[k]; ok {
		return s
	}
	return servers.Server{Key: k, Name: "job-" + k.String(), State: servers.Stopped}
}

func (f *fakeServers) List() []servers.Server {
	var all []servers.Server
	for _, s := range f.table {
		if s.State != servers.Stopped {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(x, y servers.Server) int { return strings.Compare(x.Key.String(), y.Key.String()) })
	return all
}

func (f *fakeServers) Of(u ident.User) []servers.Server {
	return slices.DeleteFunc(f.List(), func(s servers.Server) bool { return s.Key.User != u })
}

func (f *fakeServers) Queue(k ident.Key) (servers.Queue, bool) {
	w, ok := f.waits[k]
	return w, ok
}

func (f *fakeServers) Start(k ident.Key, profile string, o servers.Options) error {
	f.options = append(f.options, o)
	if f.Get(k).State.Active() {
		return servers.ErrActive
	}
	f.started = append(f.started, k.String()+" "+profile)
	return f.startErr
}

func (f *fakeServers) Touch(ident.Key, time.Time) {}

func (f *fakeServers) Reset(_ context.Context, k ident.Key) error {
	f.resets = append(f.resets, k.String())
	return f.resetErr
}

func (f *fakeServers) Stop(_ context.Context, k ident.Key) error {
	f.stopped = append(f.stopped, k.String())
	return f.stopErr
}

// hostile is what a member's program may print.
const hostile = "\x1b[31m<script>alert(1)</script>\x1b[0m & \"quoted\" \u202egnp.exe"

// everyState has a server in each state: alice's is ready.
func everyState() map[ident.Key]servers.Server {
	at := func(d time.Duration) time.Time { return now.Add(-d) }
	table := map[ident.Key]servers.Server{}
	for _, s := range []servers.Server{
		{Key: key("alice"), State: servers.Ready, Profile: "gpu", Since: at(3 * time.Hour), Started: at(3 * time.Hour),
			LastActivity: at(4 * time.Minute)},
		{Key: key("bob"), State: servers.Starting, Profile: "jupyterlab", Since: at(20 * time.Second),
			Started: at(20 * time.Second)},
		{Key: key("carol"), State: servers.Stopping, Profile: "gpu", Since: at(time.Second)},
		{Key: key("erin"), State: servers.Failed, Profile: "gpu", Since: at(time.Minute), Failure: &servers.Failure{
			Why: backend.Why{Message: "jupyter-erin.service ended with exit status 1",
				Hint: "journalctl -u jupyter-erin"},
			Lines: []string{"pulling image", hostile, "cannot find the licence server"}, At: at(time.Minute)}},
		{Key: key("frank"), State: servers.Waiting, Profile: "jupyterlab", Since: at(5 * time.Second),
			Started: at(30 * time.Second)},
	} {
		table[s.Key] = s
	}
	return table
}

var twoProfiles = []backend.Profile{
	{Name: "jupyterlab", DisplayName: "JupyterLab", Description: "Python, R and Julia. 8 CPUs, 32 GB.", Default: true},
	{Name: "gpu", DisplayName: "JupyterLab with a GPU", Description: "PyTorch and CUDA. 8 CPUs, 64 GB, one GPU."},
}

// hub is a Web with its fakes.
type hub struct {
	ticket string // the session and the server of the last ticket
	*Web
	login   *fakeLogin
	servers *fakeServers
	db      *store.Store
	journal *journal

	path string // of the database

	sessionsErr error // of ending the sessions of a deleted user
	postponeErr error
}

// setup is what a test may change of a hub.
type setup struct {
	Config
	db           *store.Store
	Postpone     func(ident.Key) error
	MaxTokenLife time.Duration
}

// ticketsOf notes for whom and for what an address with a ticket was made, which it leaves out of the address.
type ticketsOf struct{ last *string }

func (d ticketsOf) Address(session string, k ident.Key, path, query string, redirects int) string {
	*d.last = session + " " + k.String()
	if query != "" {
		query += "&"
	}
	return fmt.Sprintf("%s?%sredirects=%d", path, query, redirects)
}

// noServices is a registry without services.
type noServices struct{}

func (noServices) Get(string) (services.Service, bool) { return services.Service{}, false }
func (noServices) Add(services.Service) error          { return errors.New("none can be added") }
func (noServices) Remove(string) error                 { return services.ErrUnknown }

// newStore makes a database that knows everybody, at a path.
func newStore(t testing.TB, path string) *store.Store {
	t.Helper()
	if err := os.WriteFile(path, emptyStore(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return openStore(t, path)
}

func openStore(t testing.TB, path string) *store.Store {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: path, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

var (
	once     sync.Once
	baseline []byte
)

// emptyStore returns the file of a database that knows everybody. It is made once, since
// that is most of what a test would do.
func emptyStore(t testing.TB) []byte {
	t.Helper()
	once.Do(func() { baseline = makeStore(t) })
	return baseline
}

func makeStore(t testing.TB) []byte {
	t.Helper()
	db := openStore(t, filepath.Join(t.TempDir(), "first.sqlite"))
	for _, name := range []string{"alice", "bob", "carol", "dora", "erin", "frank", "gail"} {
		if err := db.CreateUser(t.Context(), store.User{Name: key(name).User, Admin: name == "dora"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"alice", "bob", "carol", "dora", "erin", "frank", "gail"} {
		if err := db.CreateLogin(t.Context(), store.Login{SessionID: sessionOf(name), User: key(name).User,
			Created: now,
			Expires: now.AddDate(1, 0, 0), Seen: now, Checked: now, Attempted: now}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.UpsertServer(t.Context(), store.Server{Key: key("alice:x"), DisplayName: hostileName, Profile: "gpu",
		Created: now}); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.sqlite")
	if err := db.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// hostileName is what people may call a server, a note or a group.
const hostileName = `Mine "<script>alert(1)</script>' & so on`

// twoNamed lets everybody have two servers with names.
func twoNamed(c *setup) { c.NamedServers = 2 }

// sharer may share what is their own, which nobody may without being allowed to.
var sharer = access.Role{Role: scopes.Role{Name: "sharer",
	Scopes: []string{"shares!user", "read:users:name", "read:groups:name"}}, Users: []ident.User{key("alice").User}}

// roles makes an Authority with roles of the settings.
func roles(t testing.TB, db *store.Store, list ...access.Role) *access.Authority {
	t.Helper()
	a, err := access.New(access.Config{Table: scopes.Default(), Records: db, Log: slog.New(slog.DiscardHandler),
		Roles: list})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newHub makes a hub; change may alter its settings.
func newHub(t testing.TB, change func(*setup)) *hub {
	t.Helper()
	h := &hub{login: &fakeLogin{callback: "/hub/oauth_callback"}, servers: &fakeServers{table: everyState()},
		journal: &journal{}, path: filepath.Join(t.TempDir(), "hub.sqlite")}
	h.db = newStore(t, h.path)
	c := setup{db: h.db, Config: Config{BaseURL: "/", Version: "5.5.1", ProviderName: "Example University",
		Contact: "hub@example.org", Login: h.login, Tokens: pageTokens, Servers: h.servers,
		Gate:     ticketsOf{&h.ticket},
		Profiles: func(context.Context) ([]backend.Profile, error) { return twoProfiles, nil },
		Records:  h.db.Reader, Authority: roles(t, h.db, sharer),
		Services: func() []services.Service { return nil },
		Log:      slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}}
	if change != nil {
		change(&c)
	}
	c.Access = h.who(c.Authority)
	c.Actions = h.act(t, c)
	var err error
	if h.Web, err = New(c.Config); err != nil {
		t.Fatal(err)
	}
	return h
}

// act makes what does the acts, and writes them to the hub's journal.
func (h *hub) act(t testing.TB, c setup) *actions.Actions {
	t.Helper()
	acts, err := actions.New(actions.Config{Records: h.db, Authority: c.Authority, Servers: h.servers,
		Services: noServices{}, NamedServers: c.NamedServers, MaxTokenLife: c.MaxTokenLife, Postpone: c.Postpone,
		HasPersistent: func(context.Context, ident.Key) (bool, error) { return false, nil },
		MayEnter:      func(context.Context, ident.User) error { return nil },
		EndSessions:   func(context.Context, ident.User) error { return h.sessionsErr },
		Background:    func(work func(context.Context)) { go work(context.Background()) },
		Log:           slog.New(h.journal), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return acts
}

// who finds out who is in the browser, with what they may do by an authority.
func (h *hub) who(a *access.Authority) *access.Authenticator {
	return access.NewAuthenticator(access.Sources{Authority: a, Sessions: h.login, Tokens: pageTokens})
}

func oneProfile(c *setup) {
	c.Profiles = func(context.Context) ([]backend.Profile, error) { return twoProfiles[:1], nil }
}

// do sends what a browser sends for a page, or for a form without its token, as user ("" is nobody). Further arguments
// are headers, name and value in turn; an empty value takes the browser's away.
func (h *hub) do(method, target, user string, headers ...string) *http.Response {
	return send(h.Handler(), method, target, "", user, headers...)
}

// post sends a form of a page of the hub.
func (h *hub) post(target, user string, form url.Values) *http.Response {
	form = maps.Clone(form)
	if form == nil {
		form = url.Values{}
	}
	if user != "" {
		form.Set(xsrf.Field, pageTokens.Of(sessionOf(user)))
	}
	return send(h.Handler(), http.MethodPost, target, form.Encode(), user, "Content-Type",
		"application/x-www-form-urlencoded")
}

func send(handler http.Handler, method, target, body, user string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Site", "none")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	if user != "" {
		r.AddCookie(&http.Cookie{Name: asCookie, Value: user})
	}
	w := httptest.NewRecorder()
	httpx.WithRequestID(handler).ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// answer is status and Location in one string, for tables.
func answer(resp *http.Response) string {
	if l := resp.Header.Get("Location"); l != "" {
		return http.StatusText(resp.StatusCode) + " " + l
	}
	return http.StatusText(resp.StatusCode)
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]func(*Config){
		"no slash at the end":         func(c *Config) { c.BaseURL = "/x" },
		"empty base URL":              func(c *Config) { c.BaseURL = "" },
		"no login":                    func(c *Config) { c.Login = nil },
		"no tokens":                   func(c *Config) { c.Tokens = nil },
		"no records":                  func(c *Config) { c.Records = nil },
		"no authority":                func(c *Config) { c.Authority = nil },
		"nobody runs the pulls":       func(c *Config) { c.Keeper = &fakeImages{} },
		"no actions":                  func(c *Config) { c.Actions = nil },
		"no version":                  func(c *Config) { c.Version = "" },
		"callback is a page's path":   func(c *Config) { c.Login = &fakeLogin{callback: "/hub/home"} },
		"callback is the health path": func(c *Config) { c.Login = &fakeLogin{callback: "/hub/health"} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, nil)
			cfg := h.cfg
			change(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("was accepted")
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	h := newHub(t, func(c *setup) { c.BaseURL = "/x/" })
	for _, target := range []string{"/x/hub/home", "/x/hub/login", "/x/hub/health", "/x/hub/nothing", "/",
		"/x/user/alice/"} {
		resp := h.do("GET", target, "alice")
		for name, want := range map[string]string{"X-JupyterHub-Version": "5.5.1", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "same-origin", "Cache-Control": "no-store",
			"Access-Control-Allow-Headers": "accept, content-type, authorization"} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		policy := resp.Header.Get("Content-Security-Policy")
		for _, rule := range []string{"default-src 'none'", "frame-ancestors 'none'",
			"report-uri /x/hub/security/csp-report"} {
			if !strings.Contains(policy, rule) {
				t.Errorf("%s: policy %q lacks %q", target, policy, rule)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q is unsafe", target, policy)
		}
	}
}

func TestStopFailureIsShown(t *testing.T) {
	h := newHub(t, nil)
	h.servers.stopErr = &backend.Error{Code: backend.Internal,
		Message: "cannot stop the unit: job timed out\nhint: systemctl status jupyter-alice"}
	resp := h.post("/hub/stop/alice", "alice", nil)
	text := body(t, resp)
	if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(text,
		"cannot stop the unit: job timed out") || !strings.Contains(text, "systemctl status jupyter-alice") {
		t.Errorf("%d\n%s", resp.StatusCode, text)
	}
	for name, err := range map[string]error{"nothing to stop": servers.ErrNotActive} {
		h.servers.stopErr = err
		if resp := h.post("/hub/stop/alice", "alice", nil); resp.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %s", name, answer(resp))
		}
	}
}

func TestUnmarkedErrorStaysInTheLog(t *testing.T) {
	h := newHub(t, nil)
	h.servers.stopErr = errors.New("secret detail")
	resp := h.post("/hub/stop/alice", "alice", nil)
	if text := body(t, resp); resp.StatusCode != http.StatusInternalServerError || strings.Contains(text, "secret") ||
		!strings.Contains(text, "equest ") {
		t.Errorf("%d\n%s", resp.StatusCode, text)
	}
}
