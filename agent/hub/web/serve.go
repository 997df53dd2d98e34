package web

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

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

// health is for monitoring: 200 and nothing else.
func (s *Web) health(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}
