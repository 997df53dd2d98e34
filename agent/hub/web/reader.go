package web

import (
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
)

// errNoDocument refuses a page to what is no window of its own. It is answered in a few words, without a page.
var errNoDocument error = &httpx.Error{Status: http.StatusForbidden, Public: "this page is for a window of its own: " +
	"scripts and frames do not get it", Hint: "open it in a tab of its own; programs use the API with a token"}

// checkReader refuses a request whose answer may end in the hands of what the route is not for.
func (s *Web) checkReader(whom reader, r *http.Request) error {
	switch whom {
	case Anything:
		return nil
	case Document, SignInPage, ServerPage, Script:
	default:
		return httpx.Fail(http.StatusForbidden, "this page has no rule of what may read it")
	}
	if changes(r) && !s.requests.Own(r) {
		return &httpx.Error{Status: http.StatusForbidden, Public: "this request came from another site, so nothing " +
			"was done", Hint: "go to the home page and press the button there"}
	}
	if whom == Script {
		return nil // its token says more than all else
	}
	switch s.requests.Kind(r) {
	case fetchmeta.Document:
		return nil
	case fetchmeta.Other:
		return errNoDocument
	}
	if !cookies.Open(r.Header) {
		return nil // nobody's page, the same for everybody
	}
	return s.errUnknownReader()
}

// errUnknownReader refuses a page to a browser that does not say what it wants it for.
func (s *Web) errUnknownReader() error {
	if s.requests.Secure {
		return &httpx.Error{Status: http.StatusForbidden, Public: "this browser is too old to keep pages of the hub " +
			"apart from those of other people's servers",
			Hint: "use Firefox 90, Chrome or Edge 80, Safari 16.4 or a newer one; programs use the API with a token"}
	}
	return &httpx.Error{Status: http.StatusForbidden, Public: "a page of a server sent you here, so nothing was done",
		Hint: "go to the home page and on from there"}
}

// changes reports whether a request may change something.
func changes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// asksForPage reports whether a browser asks for the page of a server; else a program asks for its state.
func (s *Web) asksForPage(r *http.Request) bool {
	kind := s.requests.Kind(r)
	return kind == fetchmeta.Document || kind == fetchmeta.Unknown && navigation(s.cfg.BaseURL, r)
}

// checkToken refuses what does not bring the token of the session in the browser: forms of documents, and requests of
// scripts. Without a session there is none: what such a form does, anybody can do.
func (s *Web) checkToken(from reader, m access.Subject, w http.ResponseWriter, r *http.Request) error {
	switch {
	case from == Script && s.cfg.Tokens.Sent(m.SessionID, r):
		return nil
	case from == Script:
		return errOldPage()
	case from != Document || !changes(r):
		return nil
	}
	if m.SessionID == "" {
		var err error
		var denied *login.Denied
		m, err = s.cfg.Access.Browser(r)
		if errors.Is(err, login.ErrNoSession) || errors.As(err, &denied) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	if !s.cfg.Tokens.Valid(m.SessionID, r.PostFormValue(xsrf.Field)) {
		return errOldPage()
	}
	return nil
}

// errOldPage refuses a form or a script without the token of the session.
func errOldPage() error {
	return &httpx.Error{Status: http.StatusForbidden, Public: "the page with this button is too old, or is not one " +
		"of the hub, so nothing was done", Hint: "load the page again and press the button there"}
}

// ForDocuments lets pages of another surface through as Document does those of the table: to windows of their own, and
// forms with the token of the session.
func (s *Web) ForDocuments(next httpx.Handler) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := s.checkReader(Document, r)
		if err == nil {
			err = s.checkToken(Document, access.Subject{}, w, r)
		}
		if err != nil {
			return err
		}
		return next(w, r)
	}
}
