package login

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

type loginRow = store.Login

// Session is one sign-in of somebody in a browser. It says who they are, not what they may do.
type Session struct {
	ID          string // tokens for notebooks are made under it and end with it
	User        ident.User
	DisplayName string
	Admin       bool      // by the rules when last checked, or because the API said so
	Groups      []string  // the provider's groups, when last checked
	Since       time.Time // of the sign-in
}

// Session returns the session of the browser that sent r: ErrNoSession for nobody, a *Denied
// for the one request at which the hub learns that somebody may no longer be here.
func (s *Service) Session(r *http.Request) (Session, error) {
	var token string
	if c, err := r.Cookie(s.cookies.Login()); err == nil {
		token = c.Value
	}
	// Load returns a context that passed Wrap unchanged.
	ctx, err := s.sessions.Load(r.Context(), token)
	if err != nil {
		return Session{}, err
	}
	id := s.sessions.GetString(ctx, loginKey)
	if id == "" {
		return Session{}, ErrNoSession
	}
	return s.SessionByID(ctx, id)
}

// SessionByID is Session for an id that the hub's own records name, as those of a notebook's
// token do: such a token is good only while its session is. The id must never come from a
// request: notebooks see it.
func (s *Service) SessionByID(ctx context.Context, sessionID string) (Session, error) {
	l, err := s.c.Store.LoginByID(ctx, sessionID)
	if errors.Is(err, store.ErrNotFound) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, err
	}
	now := s.c.Now()
	if s.c.Idle > 0 && now.Sub(l.Seen) >= s.c.Idle {
		return Session{}, errors.Join(s.end(ctx, l, "idle"), ErrNoSession)
	}
	if s.c.Access.blocked(l.User) {
		d := &Denied{Reason: Blocked, User: l.User}
		return Session{}, cmp.Or(s.lose(ctx, d), error(d))
	}
	if now.Sub(l.Checked) >= s.c.Recheck {
		if l, err = s.recheck(ctx, sessionID); err != nil {
			return Session{}, err
		}
	}
	s.touch(ctx, l, now)
	u, err := s.c.Store.UserByName(ctx, l.User)
	if err != nil {
		return Session{}, err
	}
	return Session{ID: l.SessionID, User: l.User, DisplayName: l.DisplayName, Admin: l.Admin || u.AdminByAPI,
		Groups: l.Groups, Since: l.Created}, nil
}

// touch records the use of a session, at most once a minute.
func (s *Service) touch(ctx context.Context, l loginRow, now time.Time) {
	if now.Sub(l.Seen) < time.Minute {
		return
	}
	if err := s.c.Store.TouchLogin(ctx, l.SessionID, now); err != nil {
		s.c.Log.Warn("cannot note the use of a session", "event", "database-error", "user", l.User.String(), "error",
			err.Error())
	}
}

// EndSessionsOf ends all sessions of a user, with the tokens that were made under them, and returns
// how many there were. reason goes to the journal.
func (s *Service) EndSessionsOf(ctx context.Context, user ident.User, reason string) (int, error) {
	n, err := s.c.Store.EndLoginsOf(ctx, user)
	if n > 0 {
		s.c.Changed()
		s.c.Log.Info("sessions ended", "event", "session-ended", "user", user.String(), "reason", reason, "sessions", n)
	}
	return n, err
}

// end ends a session. Of several concurrent callers only the one that ended it logs it.
func (s *Service) end(ctx context.Context, l loginRow, reason string) error {
	ended, err := s.c.Store.EndLogin(ctx, l.SessionID)
	if ended {
		s.c.Changed()
		s.c.Log.Info("session ended", "event", "session-ended", "user", l.User.String(), "reason", reason)
	}
	return err
}
