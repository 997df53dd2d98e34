package login

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestLeavesHost checks each part of a URL that can name another host.
func TestLeavesHost(t *testing.T) {
	for name, tt := range map[string]struct {
		u    url.URL
		want bool
	}{
		"path":      {url.URL{Path: "/hub/", RawQuery: "next=//x", Fragment: "y"}, false},
		"scheme":    {url.URL{Scheme: "javascript", Path: "/hub/"}, true},
		"host":      {url.URL{Host: "evil.example", Path: "/hub/"}, true},
		"user part": {url.URL{User: url.User("alice"), Path: "/hub/"}, true},
		"opaque":    {url.URL{Opaque: "alice@evil.example"}, true},
	} {
		if got := leavesHost(&tt.u); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestEmailVerified(t *testing.T) {
	for name, tt := range map[string]struct {
		claim any
		want  bool
	}{
		"true": {true, true}, "false": {false, false}, "text": {"true", true}, "text no": {"false", false},
		"another text": {"yes", false}, "a number": {1.0, false}, "nothing": {nil, false},
	} {
		if got := (claims{"email_verified": tt.claim}).emailVerified(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (claims{}).emailVerified() {
		t.Error("a claim that is not there is true")
	}
}

// TestMerge checks that userinfo never replaces what the id_token says.
func TestMerge(t *testing.T) {
	c := claims{"sub": "a", "groups": nil}
	c.merge(claims{"sub": "b", "groups": "x", "email": "m"})
	if diff := cmp.Diff(claims{"sub": "a", "groups": nil, "email": "m"}, c); diff != "" {
		t.Error(diff)
	}
}

func TestDefaults(t *testing.T) {
	c := Config{}.withDefaults()
	if c.Recheck != 5*time.Minute || c.MaxStale != 24*time.Hour || c.Lifetime != 14*24*time.Hour || c.Idle != 0 ||
		c.UsernameClaim != "preferred_username" || c.UsernamePattern != `^([^@]+)$` || *c.RequireVerifiedEmail ||
		c.BasePath != "/" || c.HTTP.Timeout != 10*time.Second || c.Now().IsZero() {
		t.Errorf("%+v", c)
	}
	if want := []string{"openid", "profile", "email"}; !slices.Equal(c.Scopes, want) {
		t.Errorf("scopes %v", c.Scopes)
	}
	no, client, now := false, &http.Client{}, func() time.Time { return time.Unix(1, 0) }
	set := Config{Recheck: 1, MaxStale: 2, Lifetime: 3, Scopes: []string{"groups"}, UsernameClaim: "email",
		RequireVerifiedEmail: &no, BasePath: "/x/", HTTP: client, Now: now}.withDefaults()
	if set.Recheck != 1 || set.MaxStale != 2 || set.Lifetime != 3 || set.UsernameClaim != "email" ||
		set.UsernamePattern != "" || *set.RequireVerifiedEmail || set.BasePath != "/x/" || set.HTTP != client ||
		set.Now().Unix() != 1 || !slices.Equal(set.Scopes, []string{"openid", "groups"}) {
		t.Errorf("%+v", set)
	}
	if c := (Config{UsernameClaim: "email"}).withDefaults(); !*c.RequireVerifiedEmail {
		t.Error("an address need not be verified")
	}
	if c := (Config{UsernamePattern: "(.)", UsernameClaim: "upn",
		Scopes: []string{"a", "openid"}}).withDefaults(); c.UsernamePattern != "(.)" ||
		c.UsernameClaim != "upn" || *c.RequireVerifiedEmail || !slices.Equal(c.Scopes, []string{"a", "openid"}) {
		t.Errorf("%+v", c)
	}
}

// TestValidate changes a good setting at one place each. The error must name that place and no other.
func TestValidate(t *testing.T) {
	s := newSite(t, nil)
	tests := map[string]struct {
		change func(*Config)
		words  string // "" where it is good
	}{
		"good":      {func(*Config) {}, ""},
		"no times":  {func(c *Config) { c.Recheck, c.MaxStale, c.Lifetime, c.Idle = 0, 0, 0, 0 }, ""},
		"all times": {func(c *Config) { c.Recheck, c.MaxStale, c.Lifetime, c.Idle = 1, 1, 1, 1 }, ""},
		"post":      {func(c *Config) { c.ClientAuth = "client_secret_post" }, ""},
		"basic":     {func(c *Config) { c.ClientAuth = "client_secret_basic" }, ""},
		"all endpoints": {func(c *Config) { c.Endpoints.UserInfo, c.PostLogoutURL = "https://a/", "http://b" },
			""},
		"no issuer":             {func(c *Config) { c.Issuer = "" }, "issuer"},
		"no callback":           {func(c *Config) { c.CallbackURL = "" }, "callback URL"},
		"issuer without scheme": {func(c *Config) { c.Issuer = "login.example.org" }, "issuer"},
		"issuer without host":   {func(c *Config) { c.Issuer = "https:///x" }, "issuer"},
		"issuer of a file":      {func(c *Config) { c.Issuer = "file://host/x" }, "issuer"},
		"issuer with fragment":  {func(c *Config) { c.Issuer = "https://host/#x" }, "issuer"},
		"issuer is no URL":      {func(c *Config) { c.Issuer = "https://host/%zz" }, "issuer"},
		"authorization":         {func(c *Config) { c.Endpoints.Authorization = "/x" }, "authorization endpoint"},
		"token":                 {func(c *Config) { c.Endpoints.Token = "/x" }, "token endpoint"},
		"userinfo":              {func(c *Config) { c.Endpoints.UserInfo = "/x" }, "userinfo endpoint"},
		"jwks":                  {func(c *Config) { c.Endpoints.JWKS = "/x" }, "jwks endpoint"},
		"end session":           {func(c *Config) { c.Endpoints.EndSession = "/x" }, "end session endpoint"},
		"post logout":           {func(c *Config) { c.PostLogoutURL = "/x" }, "post logout URL"},
		"no client":             {func(c *Config) { c.ClientID = "" }, "no client id"},
		"client auth":           {func(c *Config) { c.ClientAuth = "none" }, "client authentication"},
		"base path begins":      {func(c *Config) { c.BasePath = "x/" }, "base path"},
		"base path ends":        {func(c *Config) { c.BasePath = "/x" }, "base path"},
		"recheck":               {func(c *Config) { c.Recheck = -1 }, "negative"},
		"max stale":             {func(c *Config) { c.MaxStale = -1 }, "negative"},
		"lifetime":              {func(c *Config) { c.Lifetime = -1 }, "negative"},
		"idle":                  {func(c *Config) { c.Idle = -1 }, "negative"},
		"no store":              {func(c *Config) { c.Store = nil }, "must be set"},
		"no accounts":           {func(c *Config) { c.Accounts = nil }, "must be set"},
		"no log":                {func(c *Config) { c.Log = nil }, "must be set"},
	}
	for name, tt := range tests {
		c := s.svc.c
		tt.change(&c)
		err := c.validate()
		if (err == nil) != (tt.words == "") || err != nil && (!strings.Contains(err.Error(), tt.words) ||
			strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v; want %q", name, err, tt.words)
		}
	}
}

func TestCallbackPath(t *testing.T) {
	s := newSite(t, nil)
	for in, want := range map[string]string{"https://hub.example": "/", "https://hub.example/a%2Fb": "/a%2Fb"} {
		c := s.svc.c
		c.CallbackURL = in
		if svc, err := New(t.Context(), c); err != nil || svc.CallbackPath() != want || !svc.Cookies().Secure() {
			t.Errorf("%s: %v, %v", in, svc, err)
		}
	}
}

func TestEndpointsComplete(t *testing.T) {
	full := Endpoints{Authorization: "a", Token: "t", JWKS: "j"}
	for name, change := range map[string]func(*Endpoints){"authorization": func(e *Endpoints) { e.Authorization = "" },
		"token": func(e *Endpoints) { e.Token = "" }, "jwks": func(e *Endpoints) { e.JWKS = "" }} {
		if e := full; !e.complete() {
			t.Error("all three are not enough")
		} else if change(&e); e.complete() {
			t.Errorf("complete without %s", name)
		}
	}
}

// TestAlgorithms checks that no signature is taken that somebody without the provider's private key can make.
func TestAlgorithms(t *testing.T) {
	if got := algorithms(nil); len(got) != 10 || slices.Contains(got, "none") || slices.Contains(got, "HS256") {
		t.Errorf("without metadata %v", got)
	}
	if got := algorithms([]string{"none", "ES256", "HS256", "RS256"}); !slices.Equal(got, []string{"RS256", "ES256"}) {
		t.Errorf("of some %v", got)
	}
	if got := algorithms([]string{"none", "HS256"}); !slices.Equal(got, []string{oidc.RS256}) {
		t.Errorf("of none that is good %v", got)
	}
}

func TestAuthStyle(t *testing.T) {
	const params, header = oauth2.AuthStyleInParams, oauth2.AuthStyleInHeader
	for name, tt := range map[string]struct {
		secret, auth string
		offered      []string
		want         oauth2.AuthStyle
	}{
		"no secret":            {"", "", []string{"client_secret_basic"}, params},
		"post set":             {"s", "client_secret_post", []string{"client_secret_basic"}, params},
		"basic set":            {"s", "client_secret_basic", []string{"client_secret_post"}, header},
		"nothing known":        {"s", "", nil, header},
		"basic among them":     {"s", "", []string{"client_secret_post", "client_secret_basic"}, header},
		"post alone":           {"s", "", []string{"private_key_jwt", "client_secret_post"}, params},
		"none that we can use": {"s", "", []string{"private_key_jwt"}, header},
	} {
		if got := authStyle(Config{ClientSecret: tt.secret, ClientAuth: tt.auth}, tt.offered); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPlainCode(t *testing.T) {
	for in, want := range map[string]string{"invalid_grant": "invalid_grant", "az": "az", "": "unknown",
		strings.Repeat("a", 40): strings.Repeat("a", 40), strings.Repeat("a", 41): "unknown", "Invalid": "unknown",
		"a{": "unknown", "a`": "unknown", "a9": "unknown", "a b": "unknown", "a\n": "unknown"} {
		if got := plainCode(in); got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
}

// TestTokenFailure checks what counts as the provider's refusal and what as its silence.
func TestTokenFailure(t *testing.T) {
	answered := func(status int) error {
		return &oauth2.RetrieveError{Response: &http.Response{StatusCode: status}, ErrorCode: "invalid_grant"}
	}
	for name, tt := range map[string]struct {
		err     error
		refused bool
	}{
		"400": {answered(400), true}, "499": {answered(499), true}, "500": {answered(500), false},
		"502": {answered(502), false}, "no answer": {errors.New("no route"), false},
		"an error without its answer": {&oauth2.RetrieveError{ErrorCode: "invalid_grant"}, false},
	} {
		err := tokenFailure(tt.err)
		if got := invalidGrant(err); got != tt.refused {
			t.Errorf("%s: refused %v: %v", name, got, err)
		}
		if status := httpx.Public(err).Status; !tt.refused && status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if err := tokenFailure(answered(502)); !strings.Contains(err.Error(), "502") {
		t.Errorf("the journal does not say what was answered: %v", err)
	}
	if invalidGrant(&tokenError{400, "invalid_client"}) || invalidGrant(errors.New("invalid_grant")) {
		t.Error("another refusal counts as a void token")
	}
}

func TestPlainHTTP(t *testing.T) {
	for in, want := range map[string]bool{"http://login.example.org": true, "https://login.example.org": false,
		"http://localhost:8080": false, "http://127.0.0.1": false, "http://[::1]:80": false, "http://192.0.2.1": true,
		"http://%zz": false, "": false} {
		if got := plainHTTP(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

// TestProblemsOfClaims checks that groups of the provider without a claim to read them from are a problem, and
// that a name service that is down is.
func TestProblemsOfClaims(t *testing.T) {
	s := newSite(t, claimGroups)
	if got := s.svc.Problems(t.Context()); len(got) > 0 {
		t.Errorf("problems of a good setting: %q", got)
	}
	s = newSite(t, nil)
	s.accounts.err = errors.New("no answer")
	if got := s.svc.Problems(t.Context()); len(got) != 1 || !strings.Contains(got[0],
		"cannot be looked up: no answer") {
		t.Errorf("problems: %q", got)
	}
}

func TestEmpty(t *testing.T) {
	alice := users(t, "alice")
	for name, tt := range map[string]struct {
		a    Access
		want bool
	}{
		"nothing": {Access{}, true}, "blocked alone": {Access{BlockedUsers: alice}, true},
		"all": {Access{AllowAll: true}, false}, "users": {Access{AllowedUsers: alice}, false},
		"admins": {Access{AdminUsers: alice}, false}, "groups": {Access{AllowedGroups: []string{"g"}}, false},
		"admin groups": {Access{AdminGroups: []string{"g"}}, false},
		"Unix groups":  {Access{AllowedUnixGroups: []string{"g"}}, false},
		"admin Unix":   {Access{AdminUnixGroups: []string{"g"}}, false},
	} {
		if got := tt.a.empty(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestJudge checks what a rule says when a group cannot be looked up: what another rule allows holds, and the rest
// is not known.
func TestJudge(t *testing.T) {
	alice, errDown := users(t, "alice")[0], errors.New("no answer")
	look := &fakeAccounts{groups: map[string][]string{"alice": {"cgs"}}, broken: map[string]error{"wheel": errDown}}
	for name, tt := range map[string]struct {
		a    Access
		want verdict
		err  bool
	}{
		"allowed, admin not known": {Access{AllowedUnixGroups: []string{"cgs"}, AdminUnixGroups: []string{"wheel"}},
			verdict{allowed: true}, true},
		"all allowed, admin not known": {Access{AllowAll: true, AdminUnixGroups: []string{"wheel"}},
			verdict{allowed: true}, true},
		"all allowed, no admin": {Access{AllowAll: true, AdminUnixGroups: []string{"x"}}, verdict{allowed: true},
			false},
		"the second group":   {Access{AllowedUnixGroups: []string{"wheel", "cgs"}}, verdict{allowed: true}, false},
		"not known":          {Access{AllowedUnixGroups: []string{"x", "wheel"}}, verdict{}, true},
		"admin all the same": {Access{AdminUnixGroups: []string{"wheel", "cgs"}}, verdict{true, true}, false},
		"blocked":            {Access{AllowAll: true, BlockedUsers: []ident.User{alice}}, verdict{}, false},
		"by claim":           {Access{AllowedGroups: []string{"staff"}}, verdict{allowed: true}, false},
		"by another claim":   {Access{AllowedGroups: []string{"pupils"}}, verdict{}, false},
	} {
		got, err := tt.a.judge(t.Context(), look, alice, 5000, []string{"staff"})
		if got != tt.want || (err != nil) != tt.err || tt.err && !errors.Is(err, errDown) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestRefusal(t *testing.T) {
	alice := users(t, "alice")[0]
	if d := (Access{AllowedUsers: users(t, "bob")}).refusal(alice); d.Reason != NotListed || d.User != alice {
		t.Errorf("%+v", d)
	}
	a := Access{AllowedGroups: []string{"b", "a"}, AdminUnixGroups: []string{"a"}}
	if d := a.refusal(alice); d.Reason != NotInGroup || d.Detail != "a, b" {
		t.Errorf("%+v", d)
	}
}

// TestSealed checks that an attempt is opened only for the state that it was sealed with, and in time.
func TestSealed(t *testing.T) {
	if _, err := newSealer(make([]byte, 7)); err == nil {
		t.Error("a key of 7 bytes was taken")
	}
	seal, err := newSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	good := newAttempt("/hub/", now)
	junk := func(state, text string) string {
		a := attempt{state: state}
		sealed := seal.seal(a)
		if text != "" {
			sealed = base64.RawURLEncoding.EncodeToString(seal.aead.Seal(nil, nil, []byte(text), []byte(state)))
		}
		return sealed
	}
	for name, tt := range map[string]struct {
		state, cookie string
		at            time.Time
		ok            bool
	}{
		"good":                 {good.state, seal.seal(good), now, true},
		"in the last second":   {good.state, seal.seal(good), now.Add(attemptTime - time.Second), true},
		"too late":             {good.state, seal.seal(good), now.Add(attemptTime), false},
		"no base64":            {good.state, "%", now, false},
		"empty":                {good.state, "", now, false},
		"of another state":     {"other", seal.seal(good), now, false},
		"no state":             {"", junk("", `{"x":9999999999}`), now, false},
		"not what seal writes": {good.state, junk(good.state, "[1]"), now, false},
	} {
		s := &Service{seal: seal, cookies: cookies.New("/", true), c: Config{Now: func() time.Time { return tt.at }}}
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: s.cookies.Attempt(tt.state), Value: tt.cookie})
		a, err := s.attempt(r, tt.state)
		if (err == nil) != tt.ok || tt.ok && a != good || !tt.ok && a != (attempt{}) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	s := &Service{seal: seal, cookies: cookies.New("/", true), c: Config{Now: func() time.Time { return now }}}
	if _, err := s.attempt(r, good.state); err == nil {
		t.Error("without a cookie")
	}
}

// TestDue checks when a session is confirmed again, after one that succeeded and one that failed.
func TestDue(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := &Service{c: Config{Recheck: 5 * time.Minute}}
	for name, tt := range map[string]struct {
		checked, attempted time.Duration // ago
		want               bool
	}{
		"just now":              {0, 0, false},
		"almost":                {5*time.Minute - 1, 5*time.Minute - 1, false},
		"in time":               {5 * time.Minute, 5 * time.Minute, true},
		"failed just now":       {time.Hour, time.Second, false},
		"failed a minute ago":   {time.Hour, retryCheck, true},
		"failed almost one ago": {time.Hour, retryCheck - 1, false},
		"failed early":          {5*time.Minute - 1, 4 * time.Minute, false},
	} {
		l := loginRow{Checked: now.Add(-tt.checked), Attempted: now.Add(-tt.attempted)}
		if got := s.due(l, now); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	s.c.Recheck = time.Second
	if !s.due(loginRow{Checked: now.Add(-time.Hour), Attempted: now.Add(-time.Second)}, now) {
		t.Error("a failed check is not tried again as often as others")
	}
}

func TestSecret(t *testing.T) {
	want := secret{Refresh: "r", IDToken: "i"}
	if got := openSecret(want.seal()); got != want {
		t.Errorf("%+v", got)
	}
	if got := openSecret([]byte(`{"r":"x",`)); got != (secret{}) {
		t.Errorf("of a row that cannot be read: %+v", got)
	}
	s := newSite(t, nil).svc
	tok := &oauth2.Token{RefreshToken: "r", AccessToken: "a", Expiry: time.Unix(1e9, 0).UTC()}
	for name, tt := range map[string]struct {
		claims, logout bool
		tok            *oauth2.Token
		want           secret
	}{
		"nothing is asked again": {false, false, tok, secret{}},
		"for the logout":         {false, true, tok, secret{IDToken: "raw"}},
		"with a refresh token":   {true, false, tok, secret{Refresh: "r"}},
		"without one": {true, false, &oauth2.Token{AccessToken: "a", Expiry: tok.Expiry},
			secret{Access: "a", Expires: tok.Expiry}},
	} {
		s.c.Access, s.c.ProviderLogout = Access{}, tt.logout
		if tt.claims {
			s.c.Access.AllowedGroups = []string{"g"}
		}
		if got := s.secretOf(tt.tok, "raw"); got != tt.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestExchangeFailure(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		status int
	}{
		"void code":      {&tokenError{400, "invalid_grant"}, 400},
		"refused":        {&tokenError{401, "invalid_client"}, 502},
		"no answer":      {unreachable(context.DeadlineExceeded), 503},
		"something else": {errors.New("x"), 500},
	} {
		if err := exchangeFailure(tt.err); err == nil || httpx.Public(err).Status != tt.status {
			t.Errorf("%s: %v", name, err)
		}
	}
}
