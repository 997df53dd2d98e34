package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
)

// errNotFound is the same for a page that does not exist and one that is not shown.
func errNotFound() error {
	return httpx.Fail(http.StatusNotFound, "there is no such page, or it is not yours to see")
}

// notFound answers paths without a page.
func (s *Web) notFound(access.Subject, http.ResponseWriter, *http.Request) error {
	return errNotFound()
}

// Error answers an error for another surface: as JSON where the client asks for that, with the sign-in where the error
// is login.ErrNoSession, else as a page. It does not log.
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
	case errors.Is(err, errNoDocument):
		httpx.Words(w, e.Public+"\n"+e.Hint, e.Status)
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

// errorBody is the error page.
type errorBody struct {
	Status    int
	Message   string
	Hint      string
	RequestID string
	Home      bool // offer the home page
}

// failJSON answers an error in JupyterHub's form. Missing credentials are 403, never 401
// (jupyterhub/apihandlers/base.py).
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
	_ = json.NewEncoder(w).Encode(body) // an error means that the client is gone
}

// askToSignIn redirects to the sign-in, and from there back to the page. A form is not sent again: nothing is done
// after the sign-in unless its button is pressed again.
func (s *Web) askToSignIn(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"next": {r.URL.RequestURI()}}
	if changes(r) {
		q = url.Values{"next": {s.hub + "home"}, "notice": {noticeExpired}}
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"login?"+q.Encode())
}

// errorCode is hub/error/CODE, which a proxy in front may show for its own errors (JupyterHub's ProxyErrorHandler).
func (s *Web) errorCode(_ access.Subject, _ http.ResponseWriter, r *http.Request) error {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 400 || code > 599 || http.StatusText(code) == "" {
		return errNotFound()
	}
	switch code {
	case http.StatusNotFound:
		return errNotFound()
	case http.StatusServiceUnavailable:
		return &httpx.Error{Status: code, Public: "the server does not answer",
			Hint: "go to the home page, which shows whether it runs"}
	}
	return httpx.Fail(code, "%s", http.StatusText(code))
}

// title names an HTTP status for people.
func title(status int) string {
	switch status {
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusNotFound:
		return "Not found"
	case http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return "The hub cannot take this request"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "No answer"
	case http.StatusTooManyRequests:
		return "Too much at once"
	}
	if text := http.StatusText(status); text != "" && status < http.StatusInternalServerError {
		return text
	}
	return "Something went wrong"
}
