package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
// known good. The client learns it by way of the browser (RFC 6749, 4.1.2.1).
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

// wanted returns the scopes that a request asks for; for an empty list, all that the client may
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
// where mustAsk says so; POST is their consent, perhaps to fewer scopes. The caller must have checked that a window of
// its own gets the answer, and that a form is one of the hub's own (web.Web.ForDocuments).
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
		if err := p.consent(w, r, &req); err != nil {
			return err
		}
		if s := req.client.Server; s != nil && s.User != person.User {
			if err := p.cfg.Agree(r.Context(), person, *req.client.Server); err != nil {
				return err
			}
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

// consent reads the form of the confirmation page.
func (p *Provider) consent(w http.ResponseWriter, r *http.Request, req *request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return httpx.Fail(http.StatusBadRequest, "cannot read the form")
	}
	chosen := r.PostForm["scopes"] // without any, the client learns who it is and nothing more
	req.scopes = slices.DeleteFunc(slices.Clone(req.scopes), func(s string) bool { return !slices.Contains(chosen, s) })
	return nil
}

// mustAsk reports whether the person must be asked: not for a server of their own, nor for a
// client that the settings trust, nor again for what they have granted before
// (apihandlers/auth.py: needs_oauth_confirm).
func (p *Provider) mustAsk(ctx context.Context, req request, person access.Subject) (bool, error) {
	if req.client.NoConfirm || req.client.Server != nil && req.client.Server.User == person.User {
		return false, nil
	}
	if req.client.Server != nil { // somebody else's code in one's own browser: once a session
		agreed, err := p.cfg.Agreed(ctx, person, *req.client.Server)
		return !agreed, err
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
		return []any{"user", person.User.String(), "owner", c.Server.User.String(), "server",
			c.Server.Server.String()}
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
	req.answer(w, r, url.Values{"code": {code}})
	return nil
}
