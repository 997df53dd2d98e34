package web

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// InFront returns what stands in front of everything of the hub itself, API and metrics too: it keeps the answers apart
// from pages of servers, lets no script below hub/ become a service worker, which would own the hub's pages for good,
// and clears up cookies.
func (s *Web) InFront(next http.Handler) http.Handler {
	names := s.cfg.Login.Cookies()
	return s.WithinCookies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.Isolate(w.Header())
		if s.cfg.HSTS && r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		if r.Header.Get("Service-Worker") != "" {
			s.Error(w, r, httpx.Fail(http.StatusForbidden, "the hub has no service workers"))
			return
		}
		if line := names.Outdated(r.Header); line != "" {
			w.Header().Add("Set-Cookie", line)
		}
		next.ServeHTTP(w, r)
	}))
}

// WithinCookies answers requests whose cookies are too many, or among which two are the session: with a page that
// expires them. It must stand in front of all that browsers reach, or a page of a server could shut people out of the
// hub by filling their browser with cookies.
func (s *Web) WithinCookies(next http.Handler) http.Handler {
	names := s.cfg.Login.Cookies()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		trouble := names.Check(r.Header)
		if trouble == cookies.None {
			next.ServeHTTP(w, r)
			return
		}
		httpx.SetRoute(r, "cookies")
		s.cookiesPage(w, r, trouble)
	})
}

// cookiesBody is the page of a browser with cookies that it should not have.
type cookiesBody struct {
	Twice bool
	Size  string
	Limit string
}

// cookiesPage expires the cookies of a request and says so. Scripts and frames get the words alone: only a page that
// somebody sees changes their cookies.
func (s *Web) cookiesPage(w http.ResponseWriter, r *http.Request, trouble cookies.Trouble) {
	e := &httpx.Error{Status: http.StatusRequestHeaderFieldsTooLarge, Public: "this browser sends too many cookies",
		Hint: "open the hub's home page, which clears them"}
	title := "Too many cookies"
	if trouble == cookies.Twice {
		e.Status, e.Public, title = http.StatusBadRequest, "this browser sends two sessions of the hub", "Two sessions"
	}
	httpx.LogFailure(s.cfg.Log, r, e)
	if s.requests.Kind(r) == fetchmeta.Other || !navigation(s.cfg.BaseURL, r) {
		s.Error(w, r, e)
		return
	}
	for _, line := range s.cfg.Login.Cookies().Expire(r) {
		w.Header().Add("Set-Cookie", line)
	}
	s.render(w, r, e.Status, page{Name: "cookies", Title: title, Body: cookiesBody{Twice: trouble == cookies.Twice,
		Size: size(int64(cookies.Size(r.Header))), Limit: size(cookies.MaxBytes)}})
}
