package login

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// lastCheck is when this process last judged a person.
type lastCheck struct {
	checked, attempted time.Time
	silent             bool // the last attempt failed, which has been logged
}

// MayEnter reports, as a *Denied, that somebody may not be here, with a session or without one, such as the owner of a
// token. At most once in Config.Recheck it asks again, as Session does. While the answer is not known, the last known
// one holds; another error is one of the database.
func (s *Service) MayEnter(ctx context.Context, u ident.User) error {
	if s.personDue(u) {
		_ = s.judgePerson(ctx, u) // it is logged, and then the last known answer holds
	}
	v, err := s.c.Store.StandingOf(ctx, u)
	if err == nil && !v.Lost.IsZero() {
		return DeniedBy(v)
	}
	return err
}

// DeniedBy is the refusal of somebody who has lost the right to be here.
func DeniedBy(v store.Standing) *Denied {
	return &Denied{Reason: Reason(v.Reason), User: v.User, Detail: v.Detail}
}

// LostSince returns since when somebody may not be here, as last told; zero for somebody who may.
func (s *Service) LostSince(ctx context.Context, u ident.User) (time.Time, error) {
	v, err := s.c.Store.StandingOf(ctx, u)
	return v.Lost, err
}

// ConfirmLost asks whether somebody may not be here, now, whenever it was asked before. It is true only if that is
// certain.
func (s *Service) ConfirmLost(ctx context.Context, u ident.User) bool {
	if s.judgePerson(ctx, u) != nil {
		return false
	}
	since, err := s.LostSince(ctx, u)
	return err == nil && !since.IsZero()
}

// personDue reports whether it is time to judge a person.
func (s *Service) personDue(u ident.User) bool {
	s.mu.Lock()
	last := s.people[u]
	s.mu.Unlock()
	return s.isDue(last.checked, last.attempted, s.c.Now())
}

// notePerson records an attempt to judge a person, and whether it succeeded. It reports whether the attempts fail from
// now on.
func (s *Service) notePerson(u ident.User, now time.Time, known bool) (fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.people[u]
	fails = !known && !last.silent
	last.attempted, last.silent = now, !known
	if known {
		last.checked = now
	}
	s.people[u] = last
	return fails
}

// forgetPerson makes the next use of what is somebody's judge them again.
func (s *Service) forgetPerson(u ident.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.people, u)
}

// judgePerson judges a person as recheck does a session. One judgement runs for a person, and all requests wait for it.
// It continues when the caller's request ends. An error means that the answer is not known.
func (s *Service) judgePerson(ctx context.Context, u ident.User) error {
	_, err, _ := s.judgements.Do(u.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		now := s.c.Now()
		err := s.judgeOnce(ctx, u)
		if s.notePerson(u, now, err == nil) {
			s.c.Log.Warn("cannot check whether a user may still be here", "event", "recheck-failed", "user", u.String(),
				"error", err.Error())
		}
		return nil, err
	})
	return err
}

var errNeverTold = errors.New("the provider has not said in which groups the user is: that is known at the next " +
	"sign-in")

// judgeOnce asks the provider, through the sessions that there are, and the host. The provider's last word holds until
// there is another.
func (s *Service) judgeOnce(ctx context.Context, u ident.User) error {
	if s.c.Access.usesClaims() {
		if err := s.askSessions(ctx, u); err != nil {
			return err
		}
	}
	v, err := s.c.Store.StandingOf(ctx, u)
	if err != nil {
		return err
	}
	told := !v.Told.IsZero() || !s.c.Access.usesClaims()
	verdict, err := s.decide(ctx, u, v.Groups)
	var d *Denied
	switch {
	case errors.As(err, &d) && d.Reason == NotInGroup && !told:
		return errNeverTold
	case errors.As(err, &d):
		return s.lose(ctx, d)
	case err != nil && !verdict.allowed:
		return err
	case err != nil || !told:
		return errors.Join(err, s.admitPartly(ctx, u, verdict))
	}
	return s.admitAgain(ctx, u, v, verdict.admin)
}

// admitPartly is admitAgain where only what the verdict affirms is known.
func (s *Service) admitPartly(ctx context.Context, u ident.User, v verdict) error {
	if v.admin {
		if err := s.mark(ctx, u, true); err != nil {
			return err
		}
	}
	return s.regain(ctx, u, "recheck")
}

// askSessions checks the sessions of a person that are due, so that the provider's groups are known as they are now. A
// provider that does not answer, or cannot be asked, leaves them as they were.
func (s *Service) askSessions(ctx context.Context, u ident.User) error {
	all, err := s.c.Store.LoginsOf(ctx, u)
	if err != nil {
		return err
	}
	var asking sync.WaitGroup
	for _, l := range all {
		if s.due(l, s.c.Now()) {
			asking.Go(func() { _, _ = s.recheck(ctx, l.SessionID) }) // a failure is logged
		}
	}
	asking.Wait()
	return nil
}

// admitAgain records that somebody may be here, by rules whose every answer is known.
func (s *Service) admitAgain(ctx context.Context, u ident.User, v store.Standing, admin bool) error {
	if err := s.mark(ctx, u, admin); err != nil {
		return err
	}
	if err := s.confirmed(ctx, u, v.Groups); err != nil {
		return err
	}
	return s.regain(ctx, u, "recheck")
}

// lose takes the right to be here from somebody: the sessions end with their tokens, the other tokens are suspended,
// and the administrator's mark that the rules gave ends. What only begins with this, such as the end of servers, is
// Config.Standing's.
func (s *Service) lose(ctx context.Context, d *Denied) error {
	first, err := s.c.Store.LoseAccess(ctx, store.Standing{User: d.User, Lost: s.c.Now(), Reason: string(d.Reason),
		Detail: d.Detail})
	if err != nil {
		return err
	}
	s.notePerson(d.User, s.c.Now(), true)
	if first {
		s.c.Log.Info("a user may not enter any more: sessions end and tokens are suspended", "event", "access-lost",
			"user", d.User.String(), "reason", string(d.Reason), "rule", d.Detail)
	}
	ended, err := s.EndSessionsOf(ctx, d.User, string(d.Reason))
	if first || ended > 0 {
		s.changed(d.User, false)
	}
	return err
}

// regain gives the right to be here back. how is "login" or "recheck".
func (s *Service) regain(ctx context.Context, u ident.User, how string) error {
	back, err := s.c.Store.RegainAccess(ctx, u)
	if back {
		s.c.Log.Info("a user may enter again: their tokens work again", "event", "access-back", "user", u.String(),
			"reason", how)
		s.changed(u, true)
	}
	return err
}

// changed announces that somebody has lost the right to be here, or got it back.
func (s *Service) changed(u ident.User, may bool) {
	s.c.Changed()
	if s.c.Standing != nil {
		s.c.Standing(u, may)
	}
}

// mark records whether the rules make somebody an administrator.
func (s *Service) mark(ctx context.Context, u ident.User, admin bool) error {
	other, err := s.c.Store.SetAdminByRules(ctx, u, admin)
	if other {
		s.c.Changed()
	}
	return err
}

// refused records a refusal at the sign-in of somebody whom the hub knows, with the groups that the provider told. The
// others have nothing that could end; and of another account with the same name it says nothing.
func (s *Service) refused(ctx context.Context, subject string, groups []string, err error) error {
	var d *Denied
	if !errors.As(err, &d) {
		return err
	}
	known, failed := s.isKnown(ctx, d.User, subject)
	if failed != nil || !known {
		return cmp.Or(failed, err)
	}
	if failed := s.c.Store.SaveToldGroups(ctx, d.User, groups, s.c.Now()); failed != nil {
		return failed
	}
	return cmp.Or(s.lose(ctx, d), err)
}

// isKnown reports whether the hub knows a user, and as that account of the provider or as no account yet.
func (s *Service) isKnown(ctx context.Context, u ident.User, subject string) (bool, error) {
	if _, err := s.c.Store.UserByName(ctx, u); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return false, err
	}
	bound, err := s.c.Store.IdentityOf(ctx, u)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return err == nil && bound.Issuer == s.c.Issuer && bound.Subject == subject, err
}

// revoked ends a session that the provider has ended. Before its time, and without another session that the provider
// could be asked with, that is its answer for the person: it vouches for no group of theirs.
func (s *Service) revoked(ctx context.Context, l loginRow, d *Denied) error {
	if err := s.end(ctx, l, string(d.Reason)); err != nil || d.expired {
		return cmp.Or(err, error(d))
	}
	others, err := s.c.Store.LoginsOf(ctx, l.User)
	if err == nil && len(others) == 0 && s.c.Access.usesClaims() {
		err = s.c.Store.SaveToldGroups(ctx, l.User, nil, s.c.Now())
	}
	if err != nil {
		return err
	}
	s.forgetPerson(l.User)
	select {
	case s.soon <- l.User:
	default: // the next turn of Run judges them
	}
	return d
}
