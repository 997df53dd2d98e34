package web

import (
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// acceptBody asks whether to accept a share.
type acceptBody struct {
	Code   string
	Owner  string
	Name   string // of the server, "" for the default one
	Scopes []scopes.Description
}

// errNoCode is the same for a code that never existed and one that has expired.
func errNoCode() error {
	return &httpx.Error{Status: http.StatusNotFound, Public: "this link shares nothing: it may have expired, or its " +
		"owner has revoked it",
		Hint: "ask whoever sent it for a new one"}
}

// acceptPage is hub/accept-share?code=, JupyterHub's page that lists what a code grants.
func (s *Web) acceptPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	code := r.URL.Query().Get("code")
	found, err := s.cfg.Records.ShareCodeByHash(r.Context(), ident.HashToken(code))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errNoCode()
	case err != nil:
		return err
	case found.Key.User == m.User:
		return &httpx.Error{Status: http.StatusBadRequest, Public: "this link shares your own server, with whoever " +
			"has the link", Hint: "send it to others"}
	}
	s.render(w, r, http.StatusOK, page{Name: "accept", Title: "Accept a share?", Member: m, Body: acceptBody{
		Code: code, Owner: found.Key.User.String(), Name: found.Key.Server.String(),
		Scopes: s.sharedScopes(found.Scopes)}})
	return nil
}

// accept is POST hub/accept-share: the field code.
func (s *Web) accept(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	code, err := s.cfg.Actions.ExchangeCode(r.Context(), m, r.PostFormValue("code"))
	switch reason(err) {
	case actions.NoCode:
		return errNoCode()
	case actions.Oneself: // the owner tries the link, and sees the server that it leads to
		err = nil
	}
	if err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hubPath(code.Key))
	return nil
}
