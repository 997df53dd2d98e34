package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
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

// errNoCode is the same for a code that never was and one that has expired.
func errNoCode() error {
	return &httpx.Error{Status: http.StatusNotFound, Public: "this link shares nothing: it may have expired, or its " +
		"owner has taken it back",
		Hint: "ask whoever sent it for a new one"}
}

// acceptPage is hub/accept-share?code=, JupyterHub's page that says what one is given.
func (s *Web) acceptPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	code := r.URL.Query().Get("code")
	found, err := s.cfg.Store.ShareCodeByHash(r.Context(), ident.HashToken(code))
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
		Scopes: s.given(found.Scopes)}})
	return nil
}

// accept is POST hub/accept-share: the field code.
func (s *Web) accept(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	hash := ident.HashToken(r.PostFormValue("code"))
	found, err := s.cfg.Store.ShareCodeByHash(r.Context(), hash)
	if err == nil && found.Key.User != m.User {
		_, err = s.cfg.Store.ExchangeShareCode(r.Context(), hash, m.User)
	}
	if errors.Is(err, store.ErrNotFound) {
		return errNoCode()
	}
	if err != nil {
		return err
	}
	s.cfg.Log.Info("share accepted", "event", "share-accepted", "user", found.Key.User.String(), "server",
		found.Key.Server.String(), "by", m.User.String(), "code", found.ID)
	redirect(w, http.StatusSeeOther, s.hub+strings.TrimPrefix(found.Key.Path(), "/"))
	return nil
}
