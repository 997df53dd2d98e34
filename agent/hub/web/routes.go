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

// handler answers a request of m, who is nobody on routes for Anyone.
type handler func(s *Web, m access.Subject, w http.ResponseWriter, r *http.Request) error

// route is a row of the table.
type route struct {
	method   string // "" for every method
	path     string // pattern below the base URL, as http.ServeMux has it
	audience audience
	handler  handler
}

// routes is everything that the hub serves to people. The paths are JupyterHub's
// (jupyterhub/handlers/{base,pages,login}.py); hub/stop, hub/reset, hub/keep, hub/delete and hub/share are ours.
func routes() []route {
	return []route{
		{"GET", "hub", Anyone, (*Web).addSlash},
		{"GET", "hub/{$}", SignedIn, (*Web).root},
		{"GET", "hub/login", Anyone, (*Web).loginPage},
		{"GET", "hub/oauth_login", Anyone, (*Web).beginLogin},
		{"POST", "hub/oauth_login", Anyone, (*Web).beginLogin},
		{"GET", "hub/logout", Anyone, (*Web).logout},
		{"POST", "hub/logout", Anyone, (*Web).logout},
		{"GET", "hub/home", SignedIn, (*Web).home},
		{"GET", "hub/share/{user}", SignedIn, (*Web).sharePage},
		{"GET", "hub/share/{user}/{server}", SignedIn, (*Web).sharePage},
		{"POST", "hub/share/{user}", SignedIn, (*Web).share},
		{"POST", "hub/share/{user}/{server}", SignedIn, (*Web).share},
		{"GET", "hub/accept-share", SignedIn, (*Web).acceptPage},
		{"POST", "hub/accept-share", SignedIn, (*Web).accept},
		{"GET", "hub/admin", AdminOnly, (*Web).adminPage},
		{"POST", "hub/admin/users", AdminOnly, (*Web).addUsers},
		{"POST", "hub/admin/mark", AdminOnly, (*Web).markAdmin},
		{"GET", "hub/admin/delete-user", AdminOnly, (*Web).deleteUserPage},
		{"POST", "hub/admin/delete-user", AdminOnly, (*Web).deleteUser},
		{"GET", "hub/admin/groups", AdminOnly, (*Web).groupsPage},
		{"POST", "hub/admin/groups", AdminOnly, (*Web).addGroup},
		{"POST", "hub/admin/members", AdminOnly, (*Web).changeMembers},
		{"GET", "hub/admin/delete-group", AdminOnly, (*Web).deleteGroupPage},
		{"POST", "hub/admin/delete-group", AdminOnly, (*Web).deleteGroup},
		{"GET", "hub/admin/gpus", AdminOnly, (*Web).gpusPage},
		{"GET", "hub/admin/images", AdminOnly, (*Web).imagesPage},
		{"POST", "hub/admin/images/pull", AdminOnly, (*Web).pullImage},
		{"GET", "hub/admin/images/pull", AdminOnly, (*Web).pullPage},
		{"GET", "hub/admin/images/progress", AdminOnly, (*Web).pullProgress},
		{"GET", "hub/admin/usage", AdminOnly, (*Web).accountingPage},
		{"GET", "hub/admin/usage.csv", AdminOnly, (*Web).accountingCSV},
		{"GET", "hub/token", SignedIn, (*Web).tokensPage},
		{"POST", "hub/token", SignedIn, (*Web).makeToken},
		{"POST", "hub/token/revoke", SignedIn, (*Web).revokeToken},
		{"GET", "hub/spawn", SignedIn, (*Web).spawnPage},
		{"GET", "hub/spawn/{user}", SignedIn, (*Web).spawnPage},
		{"GET", "hub/spawn/{user}/{server}", SignedIn, (*Web).spawnPage},
		{"POST", "hub/spawn", SignedIn, (*Web).spawn},
		{"POST", "hub/spawn/{user}", SignedIn, (*Web).spawn},
		{"POST", "hub/spawn/{user}/{server}", SignedIn, (*Web).spawn},
		{"GET", "hub/spawn-pending/{user}", SignedIn, (*Web).pending},
		{"GET", "hub/spawn-pending/{user}/{server}", SignedIn, (*Web).pending},
		{"POST", "hub/servers", SignedIn, (*Web).addServer},
		{"POST", "hub/delete/{user}/{server}", SignedIn, (*Web).deleteServer},
		{"GET", "hub/reset/{user}", SignedIn, (*Web).resetPage},
		{"GET", "hub/reset/{user}/{server}", SignedIn, (*Web).resetPage},
		{"POST", "hub/reset/{user}", SignedIn, (*Web).reset},
		{"POST", "hub/reset/{user}/{server}", SignedIn, (*Web).reset},
		{"POST", "hub/keep/{user}", SignedIn, (*Web).postpone},
		{"POST", "hub/keep/{user}/{server}", SignedIn, (*Web).postpone},
		{"POST", "hub/stop/{user}", SignedIn, (*Web).stop},
		{"POST", "hub/stop/{user}/{server}", SignedIn, (*Web).stop},
		{"", "hub/user/{user}", SignedIn, (*Web).userPath},
		{"", "hub/user/{user}/{path...}", SignedIn, (*Web).userPath},
		{"GET", "hub/user-redirect", SignedIn, (*Web).userRedirect},
		{"GET", "hub/user-redirect/{path...}", SignedIn, (*Web).userRedirect},
		{"GET", "hub/error/{code}", Anyone, (*Web).errorCode},
		{"GET", "hub/health", Anyone, (*Web).health},
		{"GET", "hub/static/{file}", Anyone, (*Web).static},
		{"GET", "hub/logo", Anyone, (*Web).logo},
		{"POST", cspReportPath, Anyone, (*Web).cspReport},
		{"", "hub/", Anyone, (*Web).notFound},
		{"", "user/", Anyone, (*Web).unrouted},
		{"", "services/", Anyone, (*Web).notFound},
	}
}

// newHandler puts the routes behind the headers, the protection against forged requests and the sessions.
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
	return s.headers(s.protect(s.cfg.Login.Wrap(mux))), nil
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
		route{"GET", callback, Anyone, (*Web).callback},
		route{"", "/", Anyone, (*Web).prefixRedirect})
}

// wrongMethod refuses methods that a path does not take.
func wrongMethod(path string, methods []string) route {
	allow := slices.Clone(methods)
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	return route{"", path, Anyone, func(_ *Web, _ access.Subject, w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return httpx.Fail(http.StatusMethodNotAllowed, "this page does not take %s requests", r.Method)
	}}
}
