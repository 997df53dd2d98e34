package web

import (
	"io"
	"net/http"
	"strconv"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
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
func (s *Web) health(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

// notFound answers paths that are nothing.
func (s *Web) notFound(access.Subject, http.ResponseWriter, *http.Request) error {
	return errNotFound()
}

// errorCode is hub/error/CODE, the page that a proxy in front may show for an error of
// its own (JupyterHub's ProxyErrorHandler).
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
			Hint: "it may be stopped: look at the home page"}
	}
	return httpx.Fail(code, "%s", http.StatusText(code))
}

// cspReport takes browsers' reports of what the content security policy stopped.
// Anybody can send one, so it is worth no more than a line for debugging.
func (s *Web) cspReport(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	report, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err != nil {
		return &httpx.Error{Status: http.StatusRequestEntityTooLarge, Public: "the report is too long", Cause: err}
	}
	s.cfg.Log.Debug("a browser reports a stopped resource", "event", "csp-report", "request", httpx.RequestID(r),
		"report", cleanLine(string(report)))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
