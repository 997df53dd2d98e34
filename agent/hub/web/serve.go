package web

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// serve checks what may have the answer and who may call, calls the handler and answers its error.
func (s *Web) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetRoute(r, r.Pattern)
		rt := rt // of this request alone
		if rt.reader == ServerPage && !s.asksForPage(r) {
			rt = route{audience: Anyone, reader: Anything, handler: (*Web).stateForPrograms}
		}
		m, err := s.admit(rt, w, r)
		if err == nil {
			err = rt.handler(s, m, w, r)
		}
		if err != nil {
			httpx.LogFailure(s.cfg.Log, r, err)
			if s.requests.Kind(r) != fetchmeta.Document {
				m = access.Subject{} // not even whose session it is
			}
			s.fail(w, r, m, err)
		}
	})
}

// admit returns who asks, if the route is for them and for what reads its answer, and if a form has its token.
func (s *Web) admit(rt route, w http.ResponseWriter, r *http.Request) (access.Subject, error) {
	if err := s.checkReader(rt.reader, r); err != nil {
		return access.Subject{}, err
	}
	m, err := s.who(rt.audience, r)
	if err != nil {
		return m, err
	}
	return m, s.checkToken(rt.reader, m, w, r)
}

// who returns who asks, if a route of the audience is for them; nobody on routes for Anyone.
func (s *Web) who(a audience, r *http.Request) (access.Subject, error) {
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

// pathKey returns the server that a path names, one's own default one when it names none. What m may do to it is not
// checked yet: package actions does that.
func pathKey(m access.Subject, r *http.Request) (ident.Key, error) {
	name := r.PathValue("user")
	if name == "" {
		return ident.Key{User: m.User}, nil
	}
	key, err := ident.ParseKey(name, r.PathValue("server"))
	if err != nil {
		return ident.Key{}, errNotFound()
	}
	return key, nil
}

// target is pathKey for a page, which is shown to people with any of the scopes on the server. To all others the server
// looks as if it did not exist.
func (s *Web) target(m access.Subject, r *http.Request, anyOf ...string) (ident.Key, error) {
	key, err := pathKey(m, r)
	if err == nil && !m.MayServer(key, anyOf...) {
		err = errNotFound()
	}
	return key, err
}

// existing is target for a page of a server that must exist.
func (s *Web) existing(m access.Subject, r *http.Request, anyOf ...string) (ident.Key, error) {
	key, err := s.target(m, r, anyOf...)
	if err != nil {
		return key, err
	}
	exists, err := s.exists(r, key, "")
	if err == nil && !exists {
		err = errNotFound()
	}
	return key, err
}

// health answers monitoring: 200 without a body.
func (s *Web) health(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}
