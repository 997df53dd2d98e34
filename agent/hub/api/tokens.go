package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// tokenBody is a request for a token.
type tokenBody struct {
	Note      string          `json:"note"`
	ExpiresIn json.RawMessage `json:"expires_in"` // seconds, or null
	Scopes    json.RawMessage `json:"scopes"`     // names, or null
	Roles     json.RawMessage `json:"roles"`      // names of roles: the old way to name scopes
	Auth      *struct {
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"auth"`
}

// names reads a list of strings that may be null or missing.
func names(field string, raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var l []string
	if err := json.Unmarshal(raw, &l); err != nil || l == nil {
		return nil, httpx.Fail(http.StatusBadRequest, "token %s must be null or a list of strings, not %s", field, raw)
	}
	return l, nil
}

func (a *API) listTokens(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := a.findUser(r)
	if err != nil {
		return err
	}
	tokens, err := a.cfg.Records.TokensOf(r.Context(), u.Name)
	if err != nil {
		return err
	}
	slices.SortStableFunc(tokens, func(x, y store.Token) int { return used(x).Compare(used(y)) })
	models := []model{}
	for _, t := range tokens {
		m, err := a.tokenModel(r.Context(), t)
		if err != nil {
			return err
		}
		models = append(models, m)
	}
	return a.json(w, http.StatusOK, map[string]any{"api_tokens": models})
}

func used(t store.Token) time.Time {
	if t.LastUsed.IsZero() {
		return t.Created
	}
	return t.LastUsed
}

// createToken answers POST …/tokens. It finds its caller itself: a client without
// credentials may put a token of the user into the body in the place of a password, as
// VS Code's extension does.
func (a *API) createToken(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	body, c, err := a.tokenRequest(w, r)
	if err != nil {
		return err
	}
	// JupyterHub's answer is the same for a user who is not known and for a caller who may not.
	missing := httpx.Fail(http.StatusForbidden, "%s %s not found or no permissions to generate tokens",
		strings.ToUpper(c.Kind()[:1])+c.Kind()[1:], r.PathValue("user"))
	u, err := ident.ParseUser(r.PathValue("user"))
	if err != nil || !c.MayUser(u, scopes.Tokens) {
		return missing
	}
	req, err := body.request(c, u)
	if err != nil {
		return err
	}
	secret, t, err := a.cfg.Actions.CreateToken(r.Context(), c, req)
	if err != nil {
		return instead(err, missing, actions.LacksScope, actions.NoUser)
	}
	m, err := a.tokenModel(r.Context(), t)
	if err != nil {
		return err
	}
	m["token"] = secret
	return a.json(w, http.StatusCreated, m)
}

// tokenRequest reads a request for a token and finds out who asks.
func (a *API) tokenRequest(w http.ResponseWriter, r *http.Request) (tokenBody, access.Subject, error) {
	var body tokenBody
	if err := decode(w, r, &body); err != nil {
		return body, access.Subject{}, err
	}
	if r.Header.Get("Authorization") != "" || body.Auth == nil {
		c, err := a.cfg.Access.Request(r)
		return body, c, err
	}
	// People have no passwords here: the provider knows them. What replaces them
	// is a token.
	c, err := a.cfg.Access.Token(r.Context(), body.Auth.Password)
	if err != nil {
		return body, c, err
	}
	if c.User.IsZero() || c.User.String() != body.Auth.Username {
		return body, c, access.ErrCredentials
	}
	return body, c, nil
}

// request returns what the body asks for.
func (b tokenBody) request(c access.Subject, u ident.User) (req actions.TokenRequest, err error) {
	req = actions.TokenRequest{Owner: u, Note: b.Note}
	if req.Note == "" {
		req.Note = "Requested via api"
		if c.User != u {
			req.Note += " by " + c.Kind() + " " + c.Name()
		}
	}
	if req.Scopes, err = names("scopes", b.Scopes); err != nil {
		return req, err
	}
	if req.Roles, err = names("roles", b.Roles); err != nil {
		return req, err
	}
	if text := string(b.ExpiresIn); text != "" && text != "null" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return req, httpx.Fail(http.StatusBadRequest, "token expires_in must be null or integer, not %s", text)
		}
		req.ExpiresIn = &seconds
	}
	return req, nil
}

// findToken returns the token of the path, which must be the user's.
func (a *API) findToken(r *http.Request) (store.Token, error) {
	u, err := a.findUser(r)
	if err != nil {
		return store.Token{}, err
	}
	text := r.PathValue("id")
	missing := httpx.Fail(http.StatusNotFound, "No such token %s for user %s", text, u.Name)
	digits, ok := strings.CutPrefix(text, "a")
	id, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil {
		return store.Token{}, missing
	}
	t, err := a.cfg.Records.Token(r.Context(), u.Name, id)
	if errors.Is(err, store.ErrNotFound) {
		return t, missing
	}
	return t, err
}

func (a *API) showToken(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	t, err := a.findToken(r)
	if err != nil {
		return err
	}
	m, err := a.tokenModel(r.Context(), t)
	if err != nil {
		return err
	}
	return a.json(w, http.StatusOK, m)
}

// deleteToken revokes a token; one of an OAuth client takes all of the client's with it.
func (a *API) deleteToken(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	t, err := a.findToken(r)
	if err != nil {
		return err
	}
	err = a.cfg.Actions.RevokeToken(r.Context(), c, t.User, t.ID)
	if err != nil && !refused(err, actions.NoToken) { // revoked by another request at the same moment
		return err
	}
	return a.written(w, http.StatusNoContent)
}
