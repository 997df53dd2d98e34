package web

import (
	"io"
	"net/http"
	"strconv"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/login"
)

// maxReport bounds a browser's report, in bytes.
const maxReport = 8 << 10

// errorBody is the error page.
type errorBody struct {
	Status    int
	Message   string
	Hint      string
	RequestID string
	Home      bool // offer the home page
}

// health is for monitoring: 200 and nothing else.
func (s *Web) health(_ login.Member, w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

// notFound answers paths that are nothing.
func (s *Web) notFound(login.Member, http.ResponseWriter, *http.Request) error { return errNotFound() }

// errorCode is hub/error/CODE, the page that a proxy in front may show for an error of
// its own (JupyterHub's ProxyErrorHandler).
func (s *Web) errorCode(_ login.Member, _ http.ResponseWriter, r *http.Request) error {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 400 || code > 599 || http.StatusText(code) == "" {
		return errNotFound()
	}
	switch code {
	case http.StatusNotFound:
		return errNotFound()
	case http.StatusServiceUnavailable:
		return &httpx.Error{Status: code, Public: "the server does not answer", Hint: "it may be stopped: look at the home page"}
	}
	return httpx.Fail(code, "%s", http.StatusText(code))
}

// cspReport takes browsers' reports of what the content security policy stopped.
// Anybody can send one, so it is worth no more than a line for debugging.
func (s *Web) cspReport(_ login.Member, w http.ResponseWriter, r *http.Request) error {
	report, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err != nil {
		return &httpx.Error{Status: http.StatusRequestEntityTooLarge, Public: "the report is too long", Cause: err}
	}
	s.cfg.Log.Debug("a browser reports a stopped resource", "event", "csp-report", "request", httpx.RequestID(r), "report", cleanLine(string(report)))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// confirmBody asks whether a server may know who one is.
type confirmBody struct {
	Owner  string
	Server string // URL path
}

// Confirm answers with the page that asks whether somebody else's server, at the URL
// path server, may know who the person is. Its form posts to the same URL. The caller
// has found out that there is a person and that they may open the server.
func (s *Web) Confirm(w http.ResponseWriter, r *http.Request, owner ident.User, server string) error {
	m, err := s.cfg.Login.Member(r)
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, page{Name: "confirm", Title: "Open " + owner.String() + "'s server?", Member: m,
		Body: confirmBody{Owner: owner.String(), Server: server}})
	return nil
}
