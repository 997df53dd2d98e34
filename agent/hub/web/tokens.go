package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/tokens"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// tokenBody is the page of one's tokens.
type tokenBody struct {
	Form   tokenForm
	May    bool // make and revoke
	Secret string
	Tokens []tokenView
	Apps   []appView
	API    string // URL that the hint to a new token calls
}

// tokenForm makes a token, as it was filled in when something is wrong.
type tokenForm struct {
	Note, Scopes, Expires string
	Lives                 []life
	Problem               string
}

// tokensPage is hub/token, JupyterHub's page of one's tokens.
func (s *Web) tokensPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.HasTokens() {
		return errNotFound()
	}
	return s.renderTokens(m, w, r, http.StatusOK, tokenBody{})
}

func (s *Web) renderTokens(m access.Subject, w http.ResponseWriter, r *http.Request, status int, body tokenBody) error {
	all, err := s.cfg.Store.TokensOf(r.Context(), m.User)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.ClientID == "" && t.Kind == store.APIToken {
			body.Tokens = append(body.Tokens, tokenView{t.ID, t.Note, t.Created, t.LastUsed, t.Expires,
				s.describe(m.User, "", t.Scopes)})
		}
	}
	slices.Reverse(body.Tokens) // the newest first
	body.Apps = s.apps(m.User, all)
	body.May = m.MayUser(m.User, scopes.Tokens)
	body.Form.Lives = lives(s.cfg.Tokens.Max(), body.Form.Expires)
	body.API = s.public(s.hub+"api/user", "https://HUB")
	s.render(w, r, status, page{Name: "token", Title: "Tokens", Member: m, Wide: true, Body: body})
	return nil
}

// makeToken is POST hub/token: the fields note, expires (seconds, 0 is never) and scopes.
// Its answer is the only one that ever shows the token, and no cache keeps it.
func (s *Web) makeToken(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.MayUser(m.User, scopes.Tokens) {
		return errNotFound()
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	form := tokenForm{Note: strings.TrimSpace(r.PostFormValue("note")), Scopes: r.PostFormValue("scopes"),
		Expires: r.PostFormValue("expires")}
	secret, err := s.issue(r.Context(), m, form)
	var refused *httpx.Error
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		form.Problem = refused.Public
		return s.renderTokens(m, w, r, refused.Status, tokenBody{Form: form})
	}
	if err != nil {
		return err
	}
	return s.renderTokens(m, w, r, http.StatusOK, tokenBody{Secret: secret})
}

func (s *Web) issue(ctx context.Context, m access.Subject, form tokenForm) (secret string, err error) {
	if err := checkText("the note", form.Note); err != nil {
		return "", err
	}
	req := tokens.Request{Owner: m.User, Note: cmp.Or(form.Note, "Requested via token page")}
	if list := strings.Fields(form.Scopes); len(list) > 0 {
		req.Scopes = list
	}
	if form.Expires != "" {
		seconds, err := strconv.ParseInt(form.Expires, 10, 64)
		if err != nil {
			return "", httpx.Fail(http.StatusBadRequest, "the time until it expires is not a number of seconds")
		}
		req.ExpiresIn = &seconds
	}
	secret, t, err := s.cfg.Tokens.Issue(ctx, req)
	if err == nil {
		s.cfg.Log.Info("token made", "event", "token-created", "user", m.User.String(), "by", m.User.String(), "token",
			t.ID)
	}
	return secret, err
}

// revokeToken is POST hub/token/revoke: the field id for one of one's API tokens, or
// client for all that an application was given.
func (s *Web) revokeToken(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.MayUser(m.User, scopes.Tokens) {
		return errNotFound()
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	client, id := r.PostFormValue("client"), r.PostFormValue("id")
	if err := s.revoke(r.Context(), m.User, client, id); errors.Is(err, store.ErrNotFound) {
		return httpx.Fail(http.StatusNotFound, "you have no such token: it may be revoked or expired already")
	} else if err != nil {
		return err
	}
	s.cfg.Log.Info("token revoked", "event", "token-revoked", "user", m.User.String(), "by", m.User.String(), "token",
		id, "client", client)
	redirect(w, http.StatusSeeOther, s.hub+"token")
	return nil
}

func (s *Web) revoke(ctx context.Context, u ident.User, client, id string) error {
	if client != "" {
		n, err := s.cfg.Store.DeleteTokensOfClient(ctx, u, client)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		return err
	}
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return store.ErrNotFound
	}
	return s.cfg.Store.DeleteToken(ctx, u, number)
}
