package login

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

const (
	// retryCheck is the pause after a check that failed.
	retryCheck = time.Minute
	// checkTime bounds a check, because a page waits for it.
	checkTime = 15 * time.Second
)

// secret is the part of the provider's tokens that the hub stores, no more than it needs.
type secret struct {
	Refresh string    `json:"r,omitempty"`
	Ends    time.Time `json:"n,omitzero"`  // of the refresh token; zero: not said
	Access  string    `json:"a,omitempty"` // only without a refresh token
	Expires time.Time `json:"e,omitzero"`  // of the access token; zero: not said
	IDToken string    `json:"i,omitempty"` // for the provider's logout
}

// secretOf selects what a session needs: tokens to fetch the groups again, if a rule uses groups of
// the provider, and the id_token for a logout at the provider.
func (s *Service) secretOf(tok *oauth2.Token, rawID string) secret {
	var k secret
	if s.c.Access.usesClaims() {
		k.Refresh, k.Ends = tok.RefreshToken, refreshEnds(tok, s.c.Now())
		if k.Refresh == "" {
			k.Access, k.Expires = tok.AccessToken, tok.Expiry
		}
	}
	if s.c.ProviderLogout {
		k.IDToken = rawID
	}
	return k
}

// refreshEnds returns when a refresh token ends, where the provider says so (Keycloak's refresh_expires_in, in seconds;
// 0 is without end).
func refreshEnds(tok *oauth2.Token, now time.Time) time.Time {
	seconds, _ := tok.Extra("refresh_expires_in").(float64)
	if seconds <= 0 || seconds > longestEnd {
		return time.Time{}
	}
	return now.Add(time.Duration(seconds) * time.Second)
}

// longestEnd is 10 years, in seconds; what lasts longer has no end.
const longestEnd = 10 * 365 * 24 * 3600

func (k secret) seal() []byte {
	b, _ := json.Marshal(k) // strings and a time always have a JSON form
	return b
}

// openSecret decodes the stored tokens. For a row that cannot be decoded it returns none; checks then
// fail, and the session ends after MaxStale.
func openSecret(b []byte) secret {
	var k secret
	if json.Unmarshal(b, &k) != nil {
		return secret{}
	}
	return k
}

// recheck checks again whether a session's user may be here. Within this process one check runs for
// a session, and all requests wait for it; between processes the database grants it to one. It
// continues when the caller's request ends, because a new refresh token must be saved.
func (s *Service) recheck(ctx context.Context, sessionID string) (loginRow, error) {
	v, err, _ := s.checks.Do(sessionID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		return s.recheckOnce(ctx, sessionID)
	})
	if err != nil {
		return loginRow{}, err
	}
	return v.(loginRow), nil
}

func (s *Service) recheckOnce(ctx context.Context, sessionID string) (loginRow, error) {
	l, err := s.c.Store.LoginByID(ctx, sessionID)
	if errors.Is(err, store.ErrNotFound) {
		return l, ErrNoSession
	}
	now := s.c.Now()
	if err != nil || !s.due(l, now) {
		return l, err
	}
	mine, err := s.c.Store.ClaimCheck(ctx, sessionID, l.Attempted, now)
	if err != nil || !mine {
		return l, err
	}
	l.Attempted = now
	next, err := s.confirm(ctx, l)
	var d *Denied
	switch {
	case errors.As(err, &d) && d.Reason == Revoked:
		return l, s.revoked(ctx, l, d)
	case errors.As(err, &d):
		return l, cmp.Or(s.lose(ctx, d), err)
	case err != nil:
		return l, s.unconfirmed(ctx, l, now, err)
	}
	next.Checked = now
	if err := s.mark(ctx, l.User, next.Admin); err != nil {
		return l, err
	}
	if err := s.regain(ctx, l.User, "recheck"); err != nil {
		return l, err
	}
	s.notePerson(l.User, now, true)
	err = s.c.Store.SaveCheck(ctx, next)
	if next.Admin != l.Admin || !slices.Equal(next.Groups, l.Groups) {
		s.c.Changed()
	}
	return next, err
}

// due reports whether it is time for a check.
func (s *Service) due(l loginRow, now time.Time) bool { return s.isDue(l.Checked, l.Attempted, now) }

// isDue is due for what was last confirmed and last tried at these times.
func (s *Service) isDue(checked, attempted, now time.Time) bool {
	at := checked.Add(s.c.Recheck)
	if attempted.After(checked) { // the last one failed
		if again := attempted.Add(min(retryCheck, s.c.Recheck)); again.After(at) {
			at = again
		}
	}
	return !now.Before(at)
}

// unconfirmed logs a failed check, and ends the session if the last success is MaxStale ago.
func (s *Service) unconfirmed(ctx context.Context, l loginRow, now time.Time, cause error) error {
	s.c.Log.Warn("cannot check whether a user may still be here", "event", "recheck-failed", "user", l.User.String(),
		"unconfirmed", now.Sub(l.Checked).Round(time.Second).String(), "error", cause.Error())
	if now.Sub(l.Checked) < s.c.MaxStale {
		return nil
	}
	if err := s.end(ctx, l, "unconfirmed"); err != nil {
		return err
	}
	return ErrNoSession
}

// confirm asks the provider and the host. A *Denied is definite; any other error means that the
// answer is not known. It asks the host even when the provider does not answer, because an account
// that was removed counts anyway.
func (s *Service) confirm(ctx context.Context, l loginRow) (loginRow, error) {
	var silent error
	if s.c.Access.usesClaims() {
		groups, err := s.currentGroups(ctx, &l)
		switch {
		case errors.As(err, new(*Denied)):
			return l, err
		case err != nil:
			silent = err
		default:
			l.Groups = groups
			if err := s.c.Store.SaveToldGroups(ctx, l.User, groups, s.c.Now()); err != nil {
				return l, err
			}
		}
	}
	v, err := s.decide(ctx, l.User, l.Groups)
	if errors.As(err, new(*Denied)) {
		return l, err
	}
	l.Admin = v.admin
	if silent == nil && err == nil {
		err = s.confirmed(ctx, l.User, l.Groups)
	}
	return l, errors.Join(silent, err)
}

// confirmed calls Config.Confirmed with somebody's present groups.
func (s *Service) confirmed(ctx context.Context, u ident.User, groups []string) error {
	if s.c.Confirmed == nil {
		return nil
	}
	return s.c.Confirmed(ctx, u, groups)
}

var errNothingToAskWith = errors.New("the provider gave no refresh token and the access token has expired: ask for " +
	"the scope offline_access")

// currentGroups asks the provider for the groups of l's user. It stores new tokens in l and at once
// in the database: the old ones may be void.
func (s *Service) currentGroups(ctx context.Context, l *loginRow) ([]string, error) {
	ep, err := s.provider.get(ctx)
	if err != nil {
		return nil, err
	}
	k := openSecret(l.Secret)
	lost := &Denied{Reason: Revoked, User: l.User, expired: !k.Ends.IsZero() && !s.c.Now().Before(k.Ends)}
	c := claims{"sub": l.Subject}
	switch {
	case k.Refresh != "":
		tok, err := ep.oauth.TokenSource(s.provider.with(ctx), &oauth2.Token{RefreshToken: k.Refresh}).Token()
		if err != nil {
			if err = tokenFailure(err); invalidGrant(err) {
				return nil, lost
			}
			return nil, err
		}
		if c, err = s.refreshed(ctx, ep, l, k, tok); err != nil {
			return nil, err
		}
		k.Access = tok.AccessToken
	case k.Access == "" || !k.Expires.IsZero() && !s.c.Now().Before(k.Expires):
		return nil, errNothingToAskWith
	}
	if _, have := c.lookup(s.c.GroupsClaim); !have && ep.userInfo != "" {
		more, err := s.provider.userInfoOf(ctx, ep, k.Access, l.Subject)
		if errors.Is(err, errTokenVoid) && (k.Refresh != "" || !k.Expires.IsZero()) {
			return nil, lost // void before its time
		}
		if err != nil {
			return nil, err
		}
		c.merge(more)
	}
	groups, _ := c.groups(s.c.GroupsClaim)
	return slices.Clone(groups), nil
}

// refreshed saves the tokens of a refresh and returns the claims of its id_token, if it has one
// (Core 1.0, 12.2: same issuer, subject and audience; no new nonce).
func (s *Service) refreshed(ctx context.Context, ep *endpoints, l *loginRow, k secret, tok *oauth2.Token) (claims,
	error) {
	raw, _ := tok.Extra("id_token").(string)
	k.Refresh, k.Ends = tok.RefreshToken, refreshEnds(tok, s.c.Now())
	if s.c.ProviderLogout && raw != "" {
		k.IDToken = raw
	}
	l.Secret = k.seal()
	if err := s.c.Store.SaveSecret(ctx, *l); err != nil {
		return nil, err
	}
	if raw == "" {
		return claims{"sub": l.Subject}, nil
	}
	id, c, err := s.provider.verify(ctx, ep, raw)
	if err != nil {
		return nil, err
	}
	if id.Subject != l.Subject {
		return nil, errors.New("the refreshed id_token is about another person")
	}
	return c, nil
}
