package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
)

// Notices of the sign-in page. With a notice the page does not redirect to the provider by itself, which would sign
// people in again who have just signed out.
const (
	noticeSignedOut = "signed-out"
	noticeExpired   = "expired"
)

// loginBody is the sign-in page.
type loginBody struct {
	Notice  string
	Problem string // why signing in fails or has failed; "" when nothing is known
	Hint    string
	Next    string // path on this host, or ""
}

// loginPage asks to sign in. It redirects people who are signed in.
func (s *Web) loginPage(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	next := safeNext(q.Get("next"))
	_, err := s.cfg.Access.Browser(r)
	var denied *login.Denied
	switch {
	case err == nil:
		httpx.Redirect(w, http.StatusFound, cmp.Or(next, s.hub))
		return nil
	case errors.As(err, &denied), !errors.Is(err, login.ErrNoSession):
		return err
	}
	body := loginBody{Notice: q.Get("notice"), Next: next}
	if err := s.cfg.Login.Ready(r.Context()); err != nil {
		e := httpx.Public(err)
		body.Problem, body.Hint = e.Public, e.Hint
	} else if s.cfg.AutoLogin && body.Notice == "" {
		httpx.Redirect(w, http.StatusFound, s.hub+"oauth_login?"+url.Values{"next": {next}}.Encode())
		return nil
	}
	s.renderLogin(w, r, http.StatusOK, body)
	return nil
}

func (s *Web) renderLogin(w http.ResponseWriter, r *http.Request, status int, body loginBody) {
	name := "Sign in"
	if body.Notice == noticeSignedOut && body.Problem == "" {
		name = "Signed out"
	}
	s.render(w, r, status, page{Name: "login", Title: name, SignIn: true, Body: body})
}

// beginLogin redirects to the provider.
func (s *Web) beginLogin(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.orTryAgain(w, r, s.cfg.Login.Start(w, r), safeNext(r.FormValue("next")))
}

// callback is where the provider redirects to.
func (s *Web) callback(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.orTryAgain(w, r, s.cfg.Login.Callback(w, r), "")
}

// orTryAgain answers a failed sign-in with the sign-in page, which says why. The refusal of a user has a page of its
// own.
func (s *Web) orTryAgain(w http.ResponseWriter, r *http.Request, err error, next string) error {
	var denied *login.Denied
	if err == nil || errors.As(err, &denied) || wantsJSON(s.cfg.BaseURL, r) {
		return err
	}
	httpx.LogFailure(s.cfg.Log, r, err)
	e := httpx.Public(err)
	s.renderLogin(w, r, e.Status, loginBody{Problem: e.Public, Hint: e.Hint, Next: next})
	return nil
}

// deniedBody is the page for somebody who may not use the hub.
type deniedBody struct {
	Name      string // as the provider has it; "" when the provider did not say
	Reason    string
	Hint      string
	RequestID string
}

func (s *Web) deniedPage(w http.ResponseWriter, r *http.Request, d *login.Denied) {
	e := httpx.Public(d)
	body := deniedBody{Name: d.Name, Reason: e.Public, Hint: e.Hint, RequestID: httpx.RequestID(r)}
	switch d.Reason {
	case login.NoName, login.Blocked, login.NotInGroup, login.NotListed, login.SystemAccount:
		body.Hint = "" // it says whom to ask, as the page does anyway
	}
	if !d.User.IsZero() {
		body.Name = d.User.String()
	}
	s.render(w, r, e.Status, page{Name: "denied", Title: "You may not use this hub", SignIn: true, Body: body})
}

// logout ends the session. Single-user servers redirect here by GET (JupyterHub's LogoutHandler), so GET must do it;
// the page asks first when a link of another site, or of another person's server, leads here.
func (s *Web) logout(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !changes(r) {
		if m, err := s.cfg.Access.Browser(r); err == nil && !s.deliberate(m, r) {
			s.render(w, r, http.StatusOK, page{Name: "logout", Title: "Sign out?", Member: m})
			return nil
		}
	}
	return s.cfg.Login.Logout(&signedOut{ResponseWriter: w, from: s.hub + "login"}, r)
}

// signedOut adds the notice that the user is signed out to a redirect to the sign-in page.
type signedOut struct {
	http.ResponseWriter
	from string
}

// WriteHeader changes the Location, if it is that page and not the provider's.
func (w *signedOut) WriteHeader(status int) {
	if w.Header().Get("Location") == w.from {
		w.Header().Set("Location", w.from+"?notice="+noticeSignedOut)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *signedOut) Unwrap() http.ResponseWriter { return w.ResponseWriter }
