package web

import (
	"io"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// headers sets the headers of every answer: those of JupyterHub, and the rules of a page.
func (s *Web) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w.Header())
		next.ServeHTTP(w, r)
	})
}

func (s *Web) setHeaders(h http.Header) {
	httpx.Isolate(h)
	h.Set("X-JupyterHub-Version", s.cfg.Version)
	h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
	h.Set("Content-Security-Policy", s.policy(true))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// policy is the content security policy. A page with a form that leads to the provider goes without form-action:
// Chromium applies that to the redirects of a form too, and the provider may redirect to hosts that the hub does not
// know.
//
// Other forms stay on this origin, but for redirects to those of formTo.
func (s *Web) policy(formsStayHere bool, formTo ...string) string {
	rules := []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
		"connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'",
		"report-uri " + s.cfg.BaseURL + cspReportPath}
	if formsStayHere {
		rules = append(rules, strings.Join(append([]string{"form-action 'self'"}, formTo...), " "))
	}
	return strings.Join(rules, "; ")
}

// cspReportPath is where browsers report what the content security policy has blocked.
const cspReportPath = "hub/security/csp-report"

// maxReport bounds a browser's report, in bytes.
const maxReport = 8 << 10

// cspReport logs browsers' reports of what the content security policy has blocked. Anybody can send one, so the level
// is debug.
func (s *Web) cspReport(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	report, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err != nil {
		return &httpx.Error{Status: http.StatusRequestEntityTooLarge, Public: "the report is too long", Cause: err}
	}
	s.cfg.Log.Debug("a browser reports a blocked resource", "event", "csp-report", "request", httpx.RequestID(r),
		"report", printable.Text(string(report)))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
