package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// tokenBody is the page of one's tokens.
type tokenBody struct {
	Form   tokenForm
	May    bool   // make and revoke
	Secret string // a new token; shown this once
	Tokens []tokenView
	Apps   []appView
	API    string // URL that the example beside a new token calls

	Suspended bool // all of them, until their owner may use the hub again
}

// tokenForm makes a token. It holds what was filled in where something is wrong with that.
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
	all, err := s.cfg.Records.TokensOf(r.Context(), m.User)
	if err != nil {
		return err
	}
	standing, err := s.cfg.Records.StandingOf(r.Context(), m.User)
	if err != nil {
		return err
	}
	body.Suspended = !standing.Lost.IsZero()
	for _, t := range all {
		if t.ClientID == "" && t.Kind == store.APIToken {
			body.Tokens = append(body.Tokens, tokenView{ID: t.ID, Note: t.Note, Created: t.Created,
				LastUsed: t.LastUsed,
				Expires:  t.Expires, Scopes: s.describe(m.Owner(), t.Scopes)})
		}
	}
	slices.Reverse(body.Tokens) // the newest first
	body.Apps = s.apps(m, all)
	body.May = m.MayUser(m.User, scopes.Tokens)
	body.Form.Lives = lives(s.cfg.Actions.MaxTokenLife(), body.Form.Expires)
	body.API = s.public(s.hub+"api/user", "https://HUB")
	s.render(w, r, status, page{Name: "token", Title: "Tokens", Member: m, Wide: true, Body: body})
	return nil
}

// makeToken is POST hub/token: the fields note, expires (seconds, 0 is never) and scopes. Only its answer shows the
// token.
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
	if refused, ok := problem(err); ok {
		form.Problem = refused.Public
		return s.renderTokens(m, w, r, refused.Status, tokenBody{Form: form})
	}
	if err != nil {
		return err
	}
	return s.renderTokens(m, w, r, http.StatusOK, tokenBody{Secret: secret})
}

func (s *Web) issue(ctx context.Context, m access.Subject, form tokenForm) (secret string, err error) {
	req := actions.TokenRequest{Owner: m.User, Note: cmp.Or(form.Note, "Requested via token page")}
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
	secret, _, err = s.cfg.Actions.CreateToken(ctx, m, req)
	return secret, inOurWords(err)
}

// revokeToken is POST hub/token/revoke: the field id for one of one's API tokens, or client for all that an application
// was given.
func (s *Web) revokeToken(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	err := s.revoke(r.Context(), m, r.PostFormValue("client"), r.PostFormValue("id"))
	if reason(err) == actions.NoToken {
		return httpx.Fail(http.StatusNotFound, "you have no such token: it may be revoked or expired already")
	}
	if err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"token")
	return nil
}

func (s *Web) revoke(ctx context.Context, m access.Subject, client, id string) error {
	if client != "" {
		return s.cfg.Actions.RevokeClient(ctx, m, m.User, client)
	}
	number, _ := strconv.ParseInt(id, 10, 64) // no token has the number 0
	return s.cfg.Actions.RevokeToken(ctx, m, m.User, number)
}
