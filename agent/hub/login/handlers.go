package login

import (
	"net/http"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// maxForm bounds the size of a form, in bytes.
const maxForm = 16 << 10

// Start (GET or POST) redirects the browser to the provider. The form value "next" is where to go
// afterwards; "switch=1" makes the provider ask for an account, for somebody who is signed in there
// with one that may not enter here.
func (s *Service) Start(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	next := SafeNext(r.FormValue("next"), s.home())
	ep, err := s.provider.get(r.Context())
	if err != nil {
		return err
	}
	a := newAttempt(next, s.c.Now())
	http.SetCookie(w, s.attemptCookie(a.state, s.seal.seal(a), int(attemptTime.Seconds())))
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if r.FormValue("switch") == "1" {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	httpx.Redirect(w, http.StatusSeeOther, ep.oauth.AuthCodeURL(a.state, options...))
	return nil
}

// Logout (GET or POST, as the single-user server sends people here by GET) ends the
// hub's session with every token given under it, and clears both cookies.
func (s *Service) Logout(w http.ResponseWriter, r *http.Request) error {
	target := s.c.BasePath + "hub/login"
	if id := s.sessions.GetString(r.Context(), loginKey); id != "" {
		l, err := s.c.Store.LoginByID(r.Context(), id)
		if err == nil {
			target = s.afterLogout(r, l, target)
		}
		ended, err := s.c.Store.EndLogin(r.Context(), id)
		if err != nil {
			return err
		}
		if ended {
			s.c.Changed()
			s.c.Log.Info("signed out", "event", "logout", "user", l.User.String(), "request", httpx.RequestID(r))
		}
	}
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(cookies.SessionID, "", s.c.BasePath, -1))
	httpx.Redirect(w, http.StatusSeeOther, target)
	return nil
}

// home is where a sign-in leads to by default.
func (s *Service) home() string { return s.c.BasePath + "hub/" }

func (s *Service) cookie(name, value, path string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: path, MaxAge: maxAge, HttpOnly: true,
		Secure:   s.cookies.Secure(),
		SameSite: http.SameSiteLaxMode}
}

// attemptCookie is the cookie of a sign-in that has begun.
func (s *Service) attemptCookie(state, value string, maxAge int) *http.Cookie {
	return s.cookie(s.cookies.Attempt(state), value, s.cookies.HostPath(s.callback), maxAge)
}

// afterLogout is the provider's end_session_endpoint with the parameters of
// RP-Initiated Logout 1.0, 2, when the settings want it and the provider has one.
func (s *Service) afterLogout(r *http.Request, l loginRow, local string) string {
	if !s.c.ProviderLogout {
		return local
	}
	ep, err := s.provider.get(r.Context())
	if err != nil || ep.endSession == "" {
		return local // the hub's own session ends anyway
	}
	u, err := url.Parse(ep.endSession)
	if err != nil {
		return local
	}
	q := u.Query()
	q.Set("client_id", s.c.ClientID)
	if hint := openSecret(l.Secret).IDToken; hint != "" {
		q.Set("id_token_hint", hint)
	}
	if s.c.PostLogoutURL != "" {
		q.Set("post_logout_redirect_uri", s.c.PostLogoutURL)
	}
	u.RawQuery = q.Encode()
	return u.String()
}
