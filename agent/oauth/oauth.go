// Package oauth is the hub's OAuth 2 provider for the single-user servers: a browser
// that comes to a server is sent here, and leaves with a code that the server changes
// for a token of the person in the browser. It speaks the authorization code grant of
// RFC 6749 with PKCE (RFC 7636) in the dialect of JupyterHub (jupyterhub/oauth/provider.py
// and apihandlers/auth.py, version 5.5): redirect URIs are paths, a server's secret is
// its JUPYTERHUB_API_TOKEN, and the scopes that open the server are always granted.
// It must never hand out more than the person in the browser may do.
package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/scopes"
	"github.com/gifford-lab/gifford-hub/agent/servers"
	"github.com/gifford-lab/gifford-hub/agent/store"
)

// codeLife is how long a code is good for (JupyterHub's oauth_authorization_code_expires_in).
const codeLife = 5 * time.Minute

// registry knows the servers, which are the only clients there are.
type registry interface {
	List() []servers.Server
	TokenOwner(token string) (ident.Key, bool)
}

// records keeps codes and tokens by their hashes.
type records interface {
	CreateCode(ctx context.Context, c store.Code) error
	TakeCode(ctx context.Context, hash string) (store.Code, error)
	CreateToken(ctx context.Context, t store.Token) (int64, error)
}

// Person is the one in the browser.
type Person struct {
	User      ident.User
	Scopes    scopes.Set
	SessionID string
}

// Config is what a Provider needs; all fields are required.
type Config struct {
	Servers registry
	Records records
	Env     servers.EnvConfig // to know each client's callback path
	// Person gives who is in the browser. Its error is answered as it is.
	Person func(r *http.Request) (Person, error)
	// Confirm answers with the page that asks whether the server at the given path may
	// know who the person is; it posts back to the same URL.
	Confirm func(w http.ResponseWriter, r *http.Request, owner ident.User, server string) error
	// TokenLife is how long an access token is good for.
	TokenLife time.Duration
	Log       *slog.Logger
}

// Provider answers /hub/api/oauth2/authorize and /hub/api/oauth2/token.
type Provider struct{ cfg Config }

// New makes a Provider.
func New(cfg Config) *Provider { return &Provider{cfg} }

// request is an authorisation request whose client and redirect URI are known good.
type request struct {
	client    ident.Key
	clientID  string
	redirect  string
	state     string
	challenge string // "" when the client sent no PKCE challenge
}

// parse checks an authorisation request. Whatever is wrong with the client or its
// redirect URI is answered with a page, never with a redirect (RFC 6749, 4.1.2.1).
func (p *Provider) parse(q url.Values) (request, error) {
	req := request{clientID: q.Get("client_id"), redirect: q.Get("redirect_uri"), state: q.Get("state"), challenge: q.Get("code_challenge")}
	for _, s := range p.cfg.Servers.List() {
		if s.State.Active() && servers.ClientID(s.Key) == req.clientID {
			req.client = s.Key
		}
	}
	switch method := q.Get("code_challenge_method"); {
	case req.client.User.IsZero():
		return req, &httpx.Error{Status: http.StatusBadRequest, Public: "cannot sign you in to a server: no such server runs", Hint: "start it from the home page"}
	case req.redirect != p.cfg.Env.CallbackPath(req.client):
		return req, httpx.Fail(http.StatusBadRequest, "cannot sign you in to a server: its redirect_uri is not the one it was given")
	case q.Get("response_type") != "code":
		return req, httpx.Fail(http.StatusBadRequest, "cannot sign you in to a server: response_type must be \"code\"")
	case req.challenge != "" && method != "S256":
		return req, httpx.Fail(http.StatusBadRequest, "cannot sign you in to a server: code_challenge_method must be S256")
	case req.challenge == "" && method != "":
		return req, httpx.Fail(http.StatusBadRequest, "cannot sign you in to a server: code_challenge is missing")
	}
	return req, nil
}

// Authorize answers GET and POST of the authorisation endpoint. GET asks the person
// first where the server is somebody else's; POST is the yes.
func (p *Provider) Authorize(w http.ResponseWriter, r *http.Request) error {
	req, err := p.parse(r.URL.Query())
	if err != nil {
		return err
	}
	person, err := p.cfg.Person(r)
	if err != nil {
		return err
	}
	if !person.Scopes.AllowsServer(scopes.AccessServers, req.client, nil) {
		p.cfg.Log.Warn("access to a server refused", "event", "access-refused", "user", person.User.String(),
			"owner", req.client.User.String(), "unit", req.client.Unit())
		return httpx.Fail(http.StatusForbidden, "you do not have permission to access the server at %s", p.cfg.Env.Prefix(req.client))
	}
	if r.Method != http.MethodPost && person.User != req.client.User {
		return p.cfg.Confirm(w, r, req.client.User, p.cfg.Env.Prefix(req.client))
	}
	return p.issue(w, r, req, person)
}

// issue makes a code and sends the browser back to the server with it.
func (p *Provider) issue(w http.ResponseWriter, r *http.Request, req request, person Person) error {
	code := rand.Text() + rand.Text()[:4]
	granted := append(scopes.Identify(person.User), scopes.AccessServer(req.client))
	err := p.cfg.Records.CreateCode(r.Context(), store.Code{
		Hash: ident.HashToken(code), User: person.User, ClientID: req.clientID, RedirectURI: req.redirect,
		SessionID: person.SessionID, Scopes: granted, CodeChallenge: req.challenge, CodeChallengeMethod: "S256",
		Expires: time.Now().Add(codeLife),
	})
	if err != nil {
		return fmt.Errorf("code for %s: %w", req.clientID, err)
	}
	if person.User != req.client.User {
		p.cfg.Log.Warn("administrator opens somebody's server", "event", "access-by-admin", "user", person.User.String(),
			"owner", req.client.User.String(), "unit", req.client.Unit())
	}
	back := url.Values{"code": {code}}
	if req.state != "" {
		back.Set("state", req.state)
	}
	http.Redirect(w, r, req.redirect+"?"+back.Encode(), http.StatusFound)
	return nil
}

// tokenError is the body of a refusal (RFC 6749, 5.2).
type tokenError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// maxForm bounds the body of a token request.
const maxForm = 64 << 10

// Token answers POST of the token endpoint: a code for an access token.
func (p *Provider) Token(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return refuse(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
	}
	client, ok := p.authenticate(r)
	if !ok {
		return refuse(w, http.StatusUnauthorized, "invalid_client", "unknown client or wrong secret")
	}
	if r.PostForm.Get("grant_type") != "authorization_code" {
		return refuse(w, http.StatusBadRequest, "unsupported_grant_type", "only authorization_code is supported")
	}
	code, err := p.cfg.Records.TakeCode(r.Context(), ident.HashToken(r.PostForm.Get("code")))
	if errors.Is(err, store.ErrNotFound) {
		return refuse(w, http.StatusBadRequest, "invalid_grant", "the code is unknown, used or expired")
	}
	if err != nil {
		return fmt.Errorf("code of %s: %w", client, err)
	}
	if reason := mismatch(code, client, r.PostForm); reason != "" {
		return refuse(w, http.StatusBadRequest, "invalid_grant", reason)
	}
	return p.grant(r.Context(), w, code)
}

// authenticate checks a server's client id and secret (in the form, as JupyterHub's
// client sends them, or by HTTP Basic as RFC 6749 prefers).
func (p *Provider) authenticate(r *http.Request) (string, bool) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, pass, ok := r.BasicAuth(); ok {
		id, secret = user, pass
	}
	key, known := p.cfg.Servers.TokenOwner(secret)
	return id, known && servers.ClientID(key) == id
}

// mismatch says in what a token request differs from the one that the code was made
// for.
func mismatch(code store.Code, client string, form url.Values) string {
	switch {
	case code.ClientID != client:
		return "the code was made for another client"
	case !time.Now().Before(code.Expires):
		return "the code is unknown, used or expired"
	case form.Get("redirect_uri") != code.RedirectURI:
		return "redirect_uri is not the one of the authorisation request"
	case code.CodeChallenge != "" && !verifies(code.CodeChallenge, form.Get("code_verifier")):
		return "code_verifier does not fit the code_challenge"
	}
	return ""
}

// verifies checks a PKCE verifier against its S256 challenge (RFC 7636, 4.6).
func verifies(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(want), []byte(challenge)) == 1
}

// grant makes the access token. It belongs to the browser's session and ends with it.
func (p *Provider) grant(ctx context.Context, w http.ResponseWriter, code store.Code) error {
	token := rand.Text()
	now := time.Now()
	_, err := p.cfg.Records.CreateToken(ctx, store.Token{
		Hash: ident.HashToken(token), Kind: store.OAuthToken, User: code.User, ClientID: code.ClientID,
		SessionID: code.SessionID, Scopes: code.Scopes, Note: "Server at " + code.RedirectURI, Created: now, Expires: now.Add(p.cfg.TokenLife),
	})
	if err != nil {
		return fmt.Errorf("token of %s for %s: %w", code.User, code.ClientID, err)
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer",
		"expires_in": int(p.cfg.TokenLife.Seconds()), "scope": strings.Join(code.Scopes, " "),
	})
}

func refuse(w http.ResponseWriter, status int, code, description string) error {
	return writeJSON(w, status, tokenError{code, description})
}

// writeJSON answers a token request; RFC 6749, 5.1 forbids caches to keep it.
func writeJSON(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the client is gone; the status is sent
	return nil
}
