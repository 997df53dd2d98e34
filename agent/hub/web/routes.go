package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// audience is who may call a route at all. On what they may act is the handler's to decide, or package actions'.
type audience int

// The audiences. The zero value lets nobody in, so a route whose audience was forgotten is closed.
const (
	nobody    audience = iota
	Anyone             // no session needed
	SignedIn           // a person with a session
	AdminOnly          // people who see the administration; to others the page does not exist
)

// reader is what may have the answers of a route, whoever asks.
type reader int

// The readers. The zero value is none, so a route whose reader was forgotten is closed.
const (
	_ reader = iota
	// Document is a window or a tab of its own, which no page of a server can read. A form that is sent to such a route
	// must bring the token of the session.
	Document
	// SignInPage is Document for forms of people without a session. They need no token: what they do, a link does too,
	// and it changes nothing of a session.
	SignInPage
	// ServerPage is Document. Programs get the state of the server as if nobody were signed in.
	ServerPage
	// Script is a script of the hub's own pages, which has a token.
	Script
	// Anything is whatever asks: the answer is the same for everybody, or a redirect that shows nothing.
	Anything
)

// handler answers a request of m, who is nobody on routes for Anyone.
type handler func(s *Web, m access.Subject, w http.ResponseWriter, r *http.Request) error

// route is a row of the table.
type route struct {
	method   string // "" for every method
	path     string // pattern below the base URL, as http.ServeMux has it
	audience audience
	reader   reader
	handler  handler
}

// routes is everything that the hub serves to people. The paths are JupyterHub's
// (jupyterhub/handlers/{base,pages,login}.py); hub/stop, hub/reset, hub/keep, hub/delete, hub/open and
// hub/share are ours.
func routes() []route {
	return []route{
		{"GET", "hub", Anyone, Anything, (*Web).addSlash},
		{"GET", "hub/{$}", SignedIn, Document, (*Web).root},
		{"GET", "hub/login", Anyone, Document, (*Web).loginPage},
		{"GET", "hub/oauth_login", Anyone, Document, (*Web).beginLogin},
		{"POST", "hub/oauth_login", Anyone, SignInPage, (*Web).beginLogin},
		{"GET", "hub/logout", Anyone, Document, (*Web).logout},
		{"POST", "hub/logout", Anyone, Document, (*Web).logout},
		{"GET", "hub/home", SignedIn, Document, (*Web).home},
		{"GET", "hub/share/{user}", SignedIn, Document, (*Web).sharePage},
		{"GET", "hub/share/{user}/{server}", SignedIn, Document, (*Web).sharePage},
		{"POST", "hub/share/{user}", SignedIn, Document, (*Web).share},
		{"POST", "hub/share/{user}/{server}", SignedIn, Document, (*Web).share},
		{"GET", "hub/accept-share", SignedIn, Document, (*Web).acceptPage},
		{"POST", "hub/accept-share", SignedIn, Document, (*Web).accept},
		{"GET", "hub/admin", AdminOnly, Document, (*Web).adminPage},
		{"POST", "hub/admin/users", AdminOnly, Document, (*Web).addUsers},
		{"POST", "hub/admin/mark", AdminOnly, Document, (*Web).markAdmin},
		{"GET", "hub/admin/delete-user", AdminOnly, Document, (*Web).deleteUserPage},
		{"POST", "hub/admin/delete-user", AdminOnly, Document, (*Web).deleteUser},
		{"GET", "hub/admin/groups", AdminOnly, Document, (*Web).groupsPage},
		{"POST", "hub/admin/groups", AdminOnly, Document, (*Web).addGroup},
		{"POST", "hub/admin/members", AdminOnly, Document, (*Web).changeMembers},
		{"GET", "hub/admin/delete-group", AdminOnly, Document, (*Web).deleteGroupPage},
		{"POST", "hub/admin/delete-group", AdminOnly, Document, (*Web).deleteGroup},
		{"GET", "hub/admin/gpus", AdminOnly, Document, (*Web).gpusPage},
		{"GET", "hub/admin/images", AdminOnly, Document, (*Web).imagesPage},
		{"POST", "hub/admin/images/pull", AdminOnly, Document, (*Web).pullImage},
		{"GET", "hub/admin/images/pull", AdminOnly, Document, (*Web).pullPage},
		{"GET", "hub/admin/images/progress", AdminOnly, Script, (*Web).pullProgress},
		{"GET", "hub/admin/usage", AdminOnly, Document, (*Web).accountingPage},
		{"GET", "hub/admin/usage.csv", AdminOnly, Document, (*Web).accountingCSV},
		{"GET", "hub/token", SignedIn, Document, (*Web).tokensPage},
		{"POST", "hub/token", SignedIn, Document, (*Web).makeToken},
		{"POST", "hub/token/revoke", SignedIn, Document, (*Web).revokeToken},
		{"GET", "hub/spawn", SignedIn, Document, (*Web).spawnPage},
		{"GET", "hub/spawn/{user}", SignedIn, Document, (*Web).spawnPage},
		{"GET", "hub/spawn/{user}/{server}", SignedIn, Document, (*Web).spawnPage},
		{"POST", "hub/spawn", SignedIn, Document, (*Web).spawn},
		{"POST", "hub/spawn/{user}", SignedIn, Document, (*Web).spawn},
		{"POST", "hub/spawn/{user}/{server}", SignedIn, Document, (*Web).spawn},
		{"GET", "hub/spawn-pending/{user}", SignedIn, Document, (*Web).pending},
		{"GET", "hub/spawn-pending/{user}/{server}", SignedIn, Document, (*Web).pending},
		{"POST", "hub/servers", SignedIn, Document, (*Web).addServer},
		{"POST", "hub/delete/{user}/{server}", SignedIn, Document, (*Web).deleteServer},
		{"GET", "hub/reset/{user}", SignedIn, Document, (*Web).resetPage},
		{"GET", "hub/reset/{user}/{server}", SignedIn, Document, (*Web).resetPage},
		{"POST", "hub/reset/{user}", SignedIn, Document, (*Web).reset},
		{"POST", "hub/reset/{user}/{server}", SignedIn, Document, (*Web).reset},
		{"POST", "hub/keep/{user}", SignedIn, Document, (*Web).postpone},
		{"POST", "hub/keep/{user}/{server}", SignedIn, Document, (*Web).postpone},
		{"POST", "hub/stop/{user}", SignedIn, Document, (*Web).stop},
		{"POST", "hub/stop/{user}/{server}", SignedIn, Document, (*Web).stop},
		{"POST", "hub/open/{user}", SignedIn, Document, (*Web).agree},
		{"POST", "hub/open/{user}/{server}", SignedIn, Document, (*Web).agree},
		{"", "hub/user/{user}", SignedIn, ServerPage, (*Web).userPath},
		{"", "hub/user/{user}/{path...}", SignedIn, ServerPage, (*Web).userPath},
		{"GET", "hub/user-redirect", SignedIn, Document, (*Web).userRedirect},
		{"GET", "hub/user-redirect/{path...}", SignedIn, Document, (*Web).userRedirect},
		{"GET", "hub/error/{code}", Anyone, Anything, (*Web).errorCode},
		{"GET", "hub/health", Anyone, Anything, (*Web).health},
		{"GET", "hub/static/{file}", Anyone, Anything, (*Web).static},
		{"GET", "hub/logo", Anyone, Anything, (*Web).logo},
		{"POST", cspReportPath, Anyone, Anything, (*Web).cspReport},
		{"", "hub/", Anyone, Anything, (*Web).notFound},
		{"", "user/", Anyone, Anything, (*Web).unrouted},
		{"", "services/", Anyone, Anything, (*Web).notFound},
	}
}

// newHandler puts the routes behind the headers and the sessions.
func (s *Web) newHandler() (http.Handler, error) {
	mux := http.NewServeMux()
	known := map[string][]string{} // path -> its methods
	for _, rt := range s.table() {
		if slices.Contains(known[rt.path], rt.method) {
			return nil, fmt.Errorf("cannot make the pages: the sign-in's callback path %q is the path of a page: "+
				"choose another callback URL", rt.path)
		}
		known[rt.path] = append(known[rt.path], rt.method)
		mux.Handle(strings.TrimSpace(rt.method+" "+rt.path), s.serve(rt))
	}
	for path, methods := range known {
		if !slices.Contains(methods, "") {
			mux.Handle(path, s.serve(wrongMethod(path, methods)))
		}
	}
	return s.headers(s.cfg.Login.Wrap(mux)), nil
}

// table is routes with whole paths, the provider's callback, and the redirect of all other paths.
func (s *Web) table() []route {
	all := routes()
	for i := range all {
		all[i].path = s.cfg.BaseURL + all[i].path
	}
	callback := s.cfg.Login.CallbackPath()
	if strings.HasSuffix(callback, "/") {
		callback += "{$}"
	}
	return append(all,
		route{"GET", callback, Anyone, Document, (*Web).callback},
		route{"", "/", Anyone, Anything, (*Web).prefixRedirect})
}

// wrongMethod refuses methods that a path does not take.
func wrongMethod(path string, methods []string) route {
	allow := slices.Clone(methods)
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	return route{"", path, Anyone, Anything, func(_ *Web, _ access.Subject, w http.ResponseWriter,
		r *http.Request) error {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return httpx.Fail(http.StatusMethodNotAllowed, "this page does not take %s requests", r.Method)
	}}
}
