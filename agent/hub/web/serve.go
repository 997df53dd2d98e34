package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// cspReportPath is where browsers report what the content security policy stopped.
const cspReportPath = "hub/security/csp-report"

// serve checks who may call, calls the handler and answers its error.
func (s *Web) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetRoute(r, r.Pattern)
		m, err := s.admit(rt.audience, r)
		if err == nil {
			err = rt.handler(s, m, w, r)
		}
		if err != nil {
			httpx.LogFailure(s.cfg.Log, r, err)
			s.fail(w, r, m, err)
		}
	})
}

// admit returns the person whom a route is for.
func (s *Web) admit(a audience, r *http.Request) (access.Subject, error) {
	if a == Anyone {
		return access.Subject{}, nil
	}
	m, err := s.cfg.Access.Browser(r)
	switch {
	case err != nil:
		return access.Subject{}, err
	case a == SignedIn, a == AdminOnly && m.Administers():
		return m, nil
	case a == AdminOnly:
		return m, errNotFound()
	}
	return m, httpx.Fail(http.StatusForbidden, "this page has no rule of who may see it")
}

// target returns the server that a path names, one's own default when it names none, to
// whoever has any of the scopes on it. For all others it is not there, whether it is or
// not.
func (s *Web) target(m access.Subject, r *http.Request, anyOf ...string) (ident.Key, error) {
	key := ident.Key{User: m.User}
	if name := r.PathValue("user"); name != "" {
		var err error
		if key, err = ident.ParseKey(name, r.PathValue("server")); err != nil {
			return ident.Key{}, errNotFound()
		}
	}
	if !m.MayServer(key, anyOf...) {
		return ident.Key{}, errNotFound()
	}
	return key, nil
}

// existing is target for what can only be done to a server that there is.
func (s *Web) existing(m access.Subject, r *http.Request, anyOf ...string) (ident.Key, error) {
	key, err := s.target(m, r, anyOf...)
	if err != nil {
		return key, err
	}
	is, err := s.remembered(r, key, "")
	if err == nil && !is {
		err = errNotFound()
	}
	return key, err
}

// audit tells of a deed if the server is somebody else's.
func (s *Web) audit(r *http.Request, m access.Subject, a Action, key ident.Key, err error) {
	if key.User != m.User {
		s.cfg.Audit(r, Deed{Action: a, By: m.User, On: key, Err: err})
	}
}

func errNotFound() error {
	return httpx.Fail(http.StatusNotFound, "there is no such page, or it is not yours to see")
}

// Error answers an error as these pages do: as JSON where the client asks for that,
// with the sign-in for people without a session, else as a page. It writes nothing to
// the log.
func (s *Web) Error(w http.ResponseWriter, r *http.Request, err error) {
	s.setHeaders(w.Header())
	s.fail(w, r, access.Subject{}, err)
}

// fail is the one place in which errors become answers.
func (s *Web) fail(w http.ResponseWriter, r *http.Request, m access.Subject, err error) {
	e := httpx.Public(err)
	var denied *login.Denied
	switch {
	case wantsJSON(s.cfg.BaseURL, r):
		s.failJSON(w, r, e)
	case errors.Is(err, login.ErrNoSession):
		s.askToSignIn(w, r)
	case errors.As(err, &denied):
		s.deniedPage(w, r, denied)
	default:
		s.render(w, r, e.Status, page{Name: "error", Title: title(e.Status), Member: m, Body: errorBody{
			Status: e.Status, Message: e.Public, Hint: e.Hint, RequestID: httpx.RequestID(r),
			Home: e.Status != http.StatusUnauthorized}})
	}
}

// failJSON has JupyterHub's form of an error. It answers 403 to missing credentials,
// never 401 (reference: apihandlers/base.py).
func (s *Web) failJSON(w http.ResponseWriter, r *http.Request, e *httpx.Error) {
	status := e.Status
	if status == http.StatusUnauthorized {
		status = http.StatusForbidden
	}
	body := struct {
		Status    int    `json:"status"`
		Message   string `json:"message"`
		Hint      string `json:"hint,omitempty"`
		RequestID string `json:"request_id,omitempty"`
	}{status, e.Public, e.Hint, httpx.RequestID(r)}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the client is gone; the status is sent
}

// askToSignIn keeps the page that was asked for. What a form would have changed is not
// done later, so that nothing happens that was not pressed again.
func (s *Web) askToSignIn(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"next": {r.URL.RequestURI()}}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		q = url.Values{"next": {s.hub + "home"}, "notice": {noticeExpired}}
	}
	redirect(w, http.StatusSeeOther, s.hub+"login?"+q.Encode())
}

// headers returns every answer the headers that JupyterHub's have, and ours.
func (s *Web) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w.Header())
		next.ServeHTTP(w, r)
	})
}

func (s *Web) setHeaders(h http.Header) {
	h.Set("X-JupyterHub-Version", s.cfg.Version)
	h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
	h.Set("Content-Security-Policy", s.policy(true))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// policy is the content security policy. A form that leads to the provider needs a
// page without form-action: Chromium holds redirects of a form against it too, and the
// provider may send people on to hosts that nobody here knows.
func (s *Web) policy(formsStayHere bool) string {
	rules := []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
		"connect-src 'self'",
		"base-uri 'none'", "frame-ancestors 'none'", "report-uri " + s.cfg.BaseURL + cspReportPath}
	if formsStayHere {
		rules = append(rules, "form-action 'self'")
	}
	return strings.Join(rules, "; ")
}

// protect refuses requests that change something and come from another site. Browsers'
// own reports come from anywhere and change nothing.
func (s *Web) protect(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.AddInsecureBypassPattern("POST " + s.cfg.BaseURL + cspReportPath)
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := &httpx.Error{Status: http.StatusForbidden, Public: "this request came from another site, so nothing " +
			"was done",
			Hint: "go to the home page and press the button there"}
		httpx.LogFailure(s.cfg.Log, r, err)
		s.fail(w, r, access.Subject{}, err)
	}))
	return guard.Handler(next)
}
