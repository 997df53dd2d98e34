// Package oauth is the hub's OAuth 2 provider for the single-user servers and the
// services: a browser that comes to one is sent here, and leaves with a code that the
// client changes for a token of the person in the browser. It speaks the authorization code grant of
// RFC 6749 with PKCE (RFC 7636) in the dialect of JupyterHub (jupyterhub/oauth/provider.py
// and apihandlers/auth.py, version 5.5): redirect URIs are mostly paths, a client's
// secret is its JUPYTERHUB_API_TOKEN, and the scopes that open it are always granted.
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
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// codeLife is how long a code is good for (JupyterHub's oauth_authorization_code_expires_in).
const codeLife = 5 * time.Minute

// records keeps codes and tokens by their hashes.
type records interface {
	CreateCode(ctx context.Context, c store.Code) error
	TakeCode(ctx context.Context, hash string) (store.Code, error)
	CreateToken(ctx context.Context, t store.Token) (int64, error)
	TokensOf(ctx context.Context, u ident.User) ([]store.Token, error)
}

// Question is what a person is asked before a client learns who they are.
type Question struct {
	Client Client
	Scopes []scopes.Description // what the client will be able to do beside
	Raw    []string             // the same, as the form sends them back
}

// Config is what a Provider needs; all fields are required.
type Config struct {
	Clients Clients
	Records records
	Table   *scopes.Table
	// Role returns the scopes of a role: a client may name roles in the place of scopes.
	Role func(name string) (list []string, ok bool)
	// Person returns who is in the browser. Its error is answered as it is.
	Person func(r *http.Request) (access.Subject, error)
	// Confirm answers with the page that asks; it posts back to the same URL.
	Confirm func(w http.ResponseWriter, r *http.Request, q Question) error
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
	client    Client
	scopes    []string // asked for, and within what the client may ask for
	state     string
	challenge string // "" when the client sent no PKCE challenge
}

func refusal(format string, args ...any) error {
	return httpx.Fail(http.StatusBadRequest, "cannot sign you in: "+format, args...)
}

// clientError is what the client did wrong in a request whose client and redirect URI are
// known good: it is told, by way of the browser (RFC 6749, 4.1.2.1).
type clientError struct{ code, description string }

func (e *clientError) Error() string { return e.code + ": " + e.description }

// parse checks an authorisation request. Whatever is wrong with the client or its
// redirect URI is answered with a page, never with a redirect (RFC 6749, 4.1.2.1).
func (p *Provider) parse(q url.Values) (request, error) {
	req := request{state: q.Get("state"), challenge: q.Get("code_challenge")}
	var known bool
	req.client, known = p.cfg.Clients.Find(q.Get("client_id"))
	switch method := q.Get("code_challenge_method"); {
	case !known:
		return req, &httpx.Error{Status: http.StatusBadRequest,
			Public: "cannot sign you in to a server: no such server runs", Hint: "start it from the home page"}
	case q.Get("redirect_uri") != req.client.Redirect:
		return req, refusal("the redirect_uri is not the one that %s has", req.client.ID)
	case q.Get("response_type") == "":
		return req, &clientError{"invalid_request", "response_type is missing"}
	case q.Get("response_type") != "code":
		return req, &clientError{"unsupported_response_type", "response_type must be code"}
	case req.challenge != "" && method != "S256":
		return req, &clientError{"invalid_request", "code_challenge_method must be S256"}
	case req.challenge == "" && method != "":
		return req, &clientError{"invalid_request", "code_challenge is missing"}
	}
	var err error
	req.scopes, err = p.wanted(req.client, strings.Fields(q.Get("scope")))
	return req, err
}

// answer sends the browser back to the client with what it gets.
func (req request) answer(w http.ResponseWriter, r *http.Request, q url.Values) {
	if req.state != "" {
		q.Set("state", req.state)
	}
	separator := "?"
	if strings.Contains(req.client.Redirect, "?") {
		separator = "&"
	}
	http.Redirect(w, r, req.client.Redirect+separator+q.Encode(), http.StatusFound)
}

// wanted returns the scopes that a request asks for; without a word, all that the client may
// ask for. "identify" is always granted, and roles stand for their scopes (oauth/provider.py).
func (p *Provider) wanted(c Client, list []string) ([]string, error) {
	if len(list) == 0 {
		return c.Allowed, nil
	}
	var wanted []string
	for _, text := range list {
		if text == "identify" || text == c.access() {
			continue
		}
		if role, ok := p.cfg.Role(text); ok {
			wanted = append(wanted, role...)
			continue
		}
		wanted = append(wanted, text)
	}
	for _, text := range wanted {
		if !slices.Contains(c.Allowed, text) {
			return nil, &clientError{"invalid_scope", fmt.Sprintf("the client may not ask for the scope %q", text)}
		}
	}
	return wanted, nil
}

// Authorize answers GET and POST of the authorisation endpoint. GET asks the person first
// where that is due; POST is the yes, perhaps to fewer scopes.
func (p *Provider) Authorize(w http.ResponseWriter, r *http.Request) error {
	req, err := p.parse(r.URL.Query())
	var wrong *clientError
	if errors.As(err, &wrong) {
		req.answer(w, r, url.Values{"error": {wrong.code}, "error_description": {wrong.description}})
		return nil
	}
	if err != nil {
		return err
	}
	person, err := p.cfg.Person(r)
	if err != nil {
		return err
	}
	if !req.client.admits(person) {
		p.cfg.Log.Warn("access refused", append(p.fields(req.client, person), "event", "access-refused")...)
		return httpx.Fail(http.StatusForbidden, "you do not have permission to access %s", req.client.Path)
	}
	if r.Method == http.MethodPost {
		if err := p.yes(w, r, &req); err != nil {
			return err
		}
		return p.issue(w, r, req, person)
	}
	due, err := p.mustAsk(r.Context(), req, person)
	if err != nil {
		return err
	}
	if due {
		return p.cfg.Confirm(w, r, Question{Client: req.client, Raw: req.scopes,
			Scopes: p.cfg.Table.Describe(req.scopes, req.client.owner(person))})
	}
	return p.issue(w, r, req, person)
}

// yes reads the form of the confirmation page, which must be ours.
func (p *Provider) yes(w http.ResponseWriter, r *http.Request, req *request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return &httpx.Error{Status: http.StatusForbidden, Public: "this request came from another site", Cause: err}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return httpx.Fail(http.StatusBadRequest, "cannot read the form")
	}
	chosen := r.PostForm["scopes"] // without any, the client learns who it is and nothing more
	req.scopes = slices.DeleteFunc(slices.Clone(req.scopes), func(s string) bool { return !slices.Contains(chosen, s) })
	return nil
}

// mustAsk reports whether the person is to be asked: not for a server of their own, nor for a
// client that the settings trust, nor again for what they have granted before
// (apihandlers/auth.py: needs_oauth_confirm).
func (p *Provider) mustAsk(ctx context.Context, req request, person access.Subject) (bool, error) {
	if req.client.NoConfirm || req.client.Server != nil && req.client.Server.User == person.User {
		return false, nil
	}
	if req.client.Server != nil {
		return true, nil // somebody else's code in one's own browser: each time
	}
	tokens, err := p.cfg.Records.TokensOf(ctx, person.User)
	if err != nil {
		return true, err
	}
	granted := func(t store.Token) bool {
		return t.ClientID == req.client.ID && !slices.ContainsFunc(req.scopes,
			func(s string) bool { return !slices.Contains(t.Scopes, s) })
	}
	return !slices.ContainsFunc(tokens, granted), nil
}

// fields name client and person in the log.
func (p *Provider) fields(c Client, person access.Subject) []any {
	if c.Server != nil {
		return []any{"user", person.User.String(), "owner", c.Server.User.String(), "unit", c.Server.Unit()}
	}
	return []any{"user", person.User.String(), "service", c.Service}
}

// issue makes a code and sends the browser back to the client with it.
func (p *Provider) issue(w http.ResponseWriter, r *http.Request, req request, person access.Subject) error {
	code := rand.Text() + rand.Text()[:4]
	granted := append(scopes.Identify(person.User), req.client.access())
	err := p.cfg.Records.CreateCode(r.Context(), store.Code{
		Hash: ident.HashToken(code), User: person.User, ClientID: req.client.ID, RedirectURI: req.client.Redirect,
		SessionID: person.SessionID, Scopes: append(granted, req.scopes...), CodeChallenge: req.challenge,
		CodeChallengeMethod: "S256",
		Expires:             time.Now().Add(codeLife),
	})
	if err != nil {
		return fmt.Errorf("code for %s: %w", req.client.ID, err)
	}
	if s := req.client.Server; s != nil && person.User != s.User {
		p.cfg.Log.Warn("somebody else's server is opened", append(p.fields(req.client, person), "event",
			"access-by-admin")...)
	}
	req.answer(w, r, url.Values{"code": {code}})
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
		return fmt.Errorf("code of %s: %w", client.ID, err)
	}
	if reason := mismatch(code, client.ID, r.PostForm); reason != "" {
		return refuse(w, http.StatusBadRequest, "invalid_grant", reason)
	}
	return p.grant(r.Context(), w, code)
}

// authenticate checks the client's id and secret (in the form, as JupyterHub's client
// sends them, or by HTTP Basic as RFC 6749 prefers).
func (p *Provider) authenticate(r *http.Request) (Client, bool) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, pass, ok := r.BasicAuth(); ok {
		id, secret = user, pass
	}
	return p.cfg.Clients.authenticate(id, secret)
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
		SessionID: code.SessionID, Scopes: code.Scopes, Note: "Server at " + code.RedirectURI, Created: now,
		Expires: now.Add(p.cfg.TokenLife),
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
