package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// sessions are the browsers that are signed in. Both methods fail with login.ErrNoSession for
// nobody and with a *login.Denied for somebody who may no longer be here.
type sessions interface {
	Session(r *http.Request) (login.Session, error)
	SessionByID(ctx context.Context, id string) (login.Session, error)
}

// standings know who may still be here, with or without a session: MayEnter fails with a *login.Denied for those who
// may not.
type standings interface {
	MayEnter(ctx context.Context, u ident.User) error
}

// servers know whose a running server's own token is.
type servers interface {
	TokenOwner(token string) (ident.Key, bool)
}

// registry knows the services and their tokens.
type registry interface {
	ByToken(token string) (name string, ok bool)
	Get(name string) (services.Service, bool)
}

// credentials is what the database knows of users and of their tokens.
type credentials interface {
	UserByName(ctx context.Context, u ident.User) (store.User, error)
	TokenByHash(ctx context.Context, hash string) (store.Token, error)
	TouchToken(ctx context.Context, id int64) error
}

// formTokens knows the tokens of the hub's own pages, as xsrf.Tokens does.
type formTokens interface {
	Sent(sessionID string, r *http.Request) bool
}

// Sources are whom an Authenticator asks. All fields are required.
type Sources struct {
	Authority *Authority
	Sessions  sessions
	Standings standings
	Servers   servers
	Services  registry
	Records   credentials
	// Tokens are those by which a session's requests to the API show that a page of the hub makes them.
	Tokens formTokens
	// Requests judges what browsers say of a request.
	Requests fetchmeta.Rules
	// Client returns the server or the service whose OAuth client has that id.
	Client func(id string) (scopes.Owner, bool)
	Log    *slog.Logger
}

// Authenticator finds out who asks. It alone makes Subjects, and is safe for concurrent use.
type Authenticator struct{ src Sources }

// NewAuthenticator makes an Authenticator.
func NewAuthenticator(s Sources) *Authenticator { return &Authenticator{s} }

// authorization is what JupyterHub takes in the header (services/auth.py: auth_header_pat).
var authorization = regexp.MustCompile(`(?i)^(?:token|bearer)\s+([^\s]+)$`)

// ErrCredentials is JupyterHub's answer to missing and to wrong credentials alike: 403, never
// 401.
var ErrCredentials error = httpx.Fail(http.StatusForbidden, "Missing or invalid credentials.")

// Request returns who sent a request to the API: by the Authorization header or, without one,
// by the browser's session. A request of a session must bring the token of the hub's own pages,
// since servers' pages share the hub's origin. The error can be answered as it is; it is
// ErrCredentials for nobody.
func (a *Authenticator) Request(r *http.Request) (Subject, error) {
	if r.Header.Get("Authorization") == "" {
		return a.ownPage(r)
	}
	token, ok := HeaderToken(r)
	if !ok {
		return Subject{}, ErrCredentials
	}
	return a.Bearer(r.Context(), token)
}

// HeaderToken returns the token in a request's Authorization header; ok is false where there is none.
func HeaderToken(r *http.Request) (token string, ok bool) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", false
	}
	match := authorization.FindStringSubmatch(header)
	if match == nil {
		return "", false
	}
	return match[1], true
}

// Session returns who is signed in by a session of that id. It fails as Browser does. The id must come from the hub's
// records or from what the hub itself has sealed, never from a request as it is: notebooks see it.
func (a *Authenticator) Session(ctx context.Context, id string) (Subject, error) {
	session, err := a.src.Sessions.SessionByID(ctx, id)
	if err != nil {
		return Subject{}, err
	}
	return a.session(ctx, session)
}

// Bearer returns who has a token: a running server, a service or the owner of a token of the
// database. It fails with ErrCredentials for a token that nobody has.
func (a *Authenticator) Bearer(ctx context.Context, token string) (Subject, error) {
	if key, ok := a.src.Servers.TokenOwner(token); ok {
		return a.server(ctx, key)
	}
	if name, ok := a.src.Services.ByToken(token); ok {
		return a.service(ctx, name)
	}
	return a.Token(ctx, token)
}

// Browser returns who is signed in in the browser that sent r. It fails with
// login.ErrNoSession for nobody, and with a *login.Denied at the one request at which the hub
// learns that somebody may no longer be here.
func (a *Authenticator) Browser(r *http.Request) (Subject, error) {
	session, err := a.src.Sessions.Session(r)
	if err != nil {
		return Subject{}, err
	}
	return a.session(r.Context(), session)
}

// Operator returns root on this host, who may do everything.
func (a *Authenticator) Operator(ctx context.Context) Subject {
	return Subject{operator: true, admin: true, groupsOf: a.src.Authority.Membership(ctx),
		scopes: a.src.Authority.expand([]string{scopes.AdminRole}, scopes.Owner{})}
}

// ownPage is Browser for a request to the API.
func (a *Authenticator) ownPage(r *http.Request) (Subject, error) {
	session, err := a.src.Sessions.Session(r)
	var denied *login.Denied
	switch {
	case errors.Is(err, login.ErrNoSession), errors.As(err, &denied):
		return Subject{}, ErrCredentials
	case err != nil:
		return Subject{}, err
	}
	if err := a.checkPage(session.ID, r); err != nil {
		return Subject{}, err
	}
	return a.session(r.Context(), session)
}

// checkPage refuses what another page than one of the hub makes a browser send, for reading as well. A form cannot send
// JSON, so a body of another type is refused too, as JupyterHub does.
func (a *Authenticator) checkPage(sessionID string, r *http.Request) error {
	if !a.src.Requests.Own(r) {
		return httpx.Fail(http.StatusForbidden, "this request came from another site")
	}
	if !a.src.Tokens.Sent(sessionID, r) {
		return &httpx.Error{Status: http.StatusForbidden, Public: "'_xsrf' argument missing or wrong: a request by " +
			"cookie needs the token of one of the hub's pages in the header " + xsrf.Header,
			Hint: "programs use a token of their own in the header Authorization"}
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if r.Method == http.MethodPost && r.ContentLength != 0 && strings.TrimSpace(kind) != "application/json" {
		return httpx.Fail(http.StatusForbidden, "a request of a browser's session must be application/json")
	}
	return nil
}

// user returns a user with all that they may do. groups are the provider's where there is a
// session; the database may not have them yet.
func (a *Authenticator) user(ctx context.Context, u ident.User, admin bool, groups []string) (Subject, error) {
	all, err := a.src.Authority.Groups(ctx, u)
	if err != nil {
		return Subject{}, err
	}
	for _, g := range groups {
		if !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	s := Subject{User: u, admin: admin, Groups: all, groupsOf: a.src.Authority.Membership(ctx)}
	s.scopes, err = a.src.Authority.User(ctx, u, admin, all)
	return s, err
}

// session returns who is signed in.
func (a *Authenticator) session(ctx context.Context, l login.Session) (Subject, error) {
	s, err := a.user(ctx, l.User, l.Admin, l.Groups)
	s.SessionID = l.ID
	return s, err
}

// server returns a running server that has shown its own token. The token is suspended with those of its owner: it
// opens the server from anywhere.
func (a *Authenticator) server(ctx context.Context, key ident.Key) (Subject, error) {
	if err := a.present(ctx, key.User); err != nil {
		return Subject{}, err
	}
	owner, err := a.src.Records.UserByName(ctx, key.User)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Subject{}, err // a hub that lost its database still knows its servers
	}
	s, err := a.user(ctx, key.User, owner.Admin, nil)
	s.scopes = a.src.Authority.Server(key, s.scopes)
	return s, err
}

// service returns a service that has shown the token of the settings.
func (a *Authenticator) service(ctx context.Context, name string) (Subject, error) {
	s, ok := a.src.Services.Get(name)
	if !ok {
		return Subject{}, ErrCredentials
	}
	return Subject{Service: name, admin: s.Admin, groupsOf: a.src.Authority.Membership(ctx),
		scopes: a.src.Authority.Service(name, s.Admin, s.Scopes)}, nil
}

// Token returns the owner of a token of the database, with the token's rights as far as the
// owner has them now.
func (a *Authenticator) Token(ctx context.Context, secret string) (Subject, error) {
	t, err := a.src.Records.TokenByHash(ctx, ident.HashToken(secret))
	if errors.Is(err, store.ErrNotFound) {
		return Subject{}, ErrCredentials
	}
	if err != nil {
		return Subject{}, err
	}
	s, err := a.owner(ctx, t)
	if err != nil {
		return Subject{}, err
	}
	if err := a.src.Records.TouchToken(ctx, t.ID); err != nil {
		// A disk that is full must not lock out the programs that would free it.
		a.src.Log.Warn("cannot note the use of a token", "event", "database-error", "user", t.User.String(), "token",
			t.ID, "error", err.Error())
	}
	s.TokenID = "a" + strconv.FormatInt(t.ID, 10)
	s.scopes = a.narrow(t, s)
	return s, nil
}

// TokenScopes returns what a token may do now: nothing when the session under which it was made has ended, or while it
// is suspended.
func (a *Authenticator) TokenScopes(ctx context.Context, t store.Token) (scopes.Set, error) {
	s, err := a.owner(ctx, t)
	if errors.Is(err, ErrCredentials) {
		return scopes.Set{}, nil
	}
	return a.narrow(t, s), err
}

// narrow returns what a token may do of all that its owner may do. The token's "!server" and
// "!service" mean the OAuth client that it was made for.
func (a *Authenticator) narrow(t store.Token, owner Subject) scopes.Set {
	means := scopes.Owner{}
	if t.ClientID != "" {
		means, _ = a.src.Client(t.ClientID)
	}
	means.User = t.User
	return a.src.Authority.Token(t.Scopes, means, owner.scopes, owner.groupsOf)
}

// owner returns who a token acts for, as they stand now: a token of a browser's session ends with it, and every other
// one is suspended while its owner may not be here.
func (a *Authenticator) owner(ctx context.Context, t store.Token) (Subject, error) {
	if t.SessionID != "" {
		l, err := a.src.Sessions.SessionByID(ctx, t.SessionID)
		var denied *login.Denied
		if err != nil && !errors.Is(err, login.ErrNoSession) && !errors.As(err, &denied) {
			return Subject{}, err // not known is not ended
		}
		if err != nil || l.User != t.User {
			a.src.Log.Debug("token of an ended session", "event", "token-refused", "user", t.User.String(), "error",
				fmt.Sprint(err))
			return Subject{}, ErrCredentials
		}
		return a.session(ctx, l)
	}
	if err := a.present(ctx, t.User); err != nil {
		return Subject{}, err
	}
	owner, err := a.src.Records.UserByName(ctx, t.User)
	if errors.Is(err, store.ErrNotFound) {
		return Subject{}, ErrCredentials
	}
	if err != nil {
		return Subject{}, err
	}
	return a.user(ctx, t.User, owner.Admin, nil)
}

// present refuses the tokens of somebody who may not be here: they are suspended, and look like wrong ones.
func (a *Authenticator) present(ctx context.Context, u ident.User) error {
	err := a.src.Standings.MayEnter(ctx, u)
	var denied *login.Denied
	if errors.As(err, &denied) {
		a.src.Log.Debug("suspended token", "event", "token-refused", "user", u.String(), "error", denied.Error())
		return ErrCredentials
	}
	return err
}

// Identified returns a subject that may also read its own name, as whoever shows credentials
// may: the model of itself never is empty.
func (a *Authenticator) Identified(s Subject) Subject {
	own := scopes.Identify(s.User)
	if s.Service != "" {
		own = scopes.IdentifyService(s.Service)
	}
	extra, _ := a.src.Authority.Table().Expand(own, s.Owner())
	s.scopes = s.scopes.Union(extra)
	return s
}
