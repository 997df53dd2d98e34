package web

import (
	"io"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

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

// cspReportPath is where browsers report what the content security policy stopped.
const cspReportPath = "hub/security/csp-report"

// maxReport bounds a browser's report, in bytes.
const maxReport = 8 << 10

// cspReport takes browsers' reports of what the content security policy stopped.
// Anybody can send one, so it is worth no more than a line for debugging.
func (s *Web) cspReport(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	report, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err != nil {
		return &httpx.Error{Status: http.StatusRequestEntityTooLarge, Public: "the report is too long", Cause: err}
	}
	s.cfg.Log.Debug("a browser reports a stopped resource", "event", "csp-report", "request", httpx.RequestID(r),
		"report", printable.Text(string(report)))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
