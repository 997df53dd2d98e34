package login

import (
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// begin starts the session. The cookie's token is new, so that a cookie planted before the sign-in
// opens nothing (session fixation).
func (s *Service) begin(w http.ResponseWriter, r *http.Request, p person) error {
	ctx, now := r.Context(), s.c.Now()
	id, err := s.sessionID(r, p.user)
	if err != nil {
		return err
	}
	if err := s.c.Store.UpsertUser(ctx, store.User{Name: p.user, DisplayName: p.display, Admin: p.admin,
		Created: now}); err != nil {
		return err
	}
	err = s.c.Store.CreateLogin(ctx, loginRow{SessionID: id, User: p.user, Subject: p.subject, DisplayName: p.display,
		Admin:  p.admin,
		Groups: p.groups, Secret: p.secret.seal(), Created: now, Expires: now.Add(s.c.Lifetime), Seen: now,
		Checked: now, Attempted: now})
	if err != nil {
		return err
	}
	if err := s.c.Store.SaveToldGroups(ctx, p.user, p.groups, now); err != nil {
		return err
	}
	if err := s.confirmed(ctx, p.user, p.groups); err != nil {
		return err
	}
	if err := s.regain(ctx, p.user, "login"); err != nil {
		return err
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	s.sessions.Put(ctx, loginKey, id)
	http.SetCookie(w, s.cookie(cookies.SessionID, id, s.c.BasePath, int(s.c.Lifetime.Seconds())))
	s.c.Log.Info("signed in", "event", "login", "user", p.user.String(), "admin", p.admin, "request",
		httpx.RequestID(r))
	return nil
}

// sessionID returns the id for a new session. When the same person signs in once more in the same
// browser, as several tabs do, it is the id from before, and the tokens of their notebooks stay
// valid. The session of another person ends.
func (s *Service) sessionID(r *http.Request, u ident.User) (string, error) {
	old := s.sessions.GetString(r.Context(), loginKey)
	if old == "" {
		return rand.Text(), nil
	}
	l, err := s.c.Store.LoginByID(r.Context(), old)
	if errors.Is(err, store.ErrNotFound) {
		return rand.Text(), nil
	}
	if err != nil {
		return "", err
	}
	if l.User == u {
		return old, nil
	}
	return rand.Text(), s.end(r.Context(), l, "replaced")
}
