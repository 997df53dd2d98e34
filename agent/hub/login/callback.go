package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// person is somebody whom the provider has identified and who may enter.
type person struct {
	user    ident.User
	display string
	subject string
	groups  []string
	admin   bool
	secret  secret
}

// Callback ends the code flow: it checks what the provider sent back, decides
// whether the person may enter, begins the session and goes on to "next". A person
// who may not enter is a *Denied.
func (s *Service) Callback(w http.ResponseWriter, r *http.Request) error {
	begun := s.c.Now()
	counts, err := s.finish(w, r)
	if counts && s.c.OnLogin != nil {
		s.c.OnLogin(err, s.c.Now().Sub(begun))
	}
	return err
}

// finish is Callback; counts reports whether a sign-in ended, with success or not.
func (s *Service) finish(w http.ResponseWriter, r *http.Request) (counts bool, err error) {
	w.Header().Set("Cache-Control", "no-store")
	q := r.URL.Query()
	a, err := s.attempt(r, q.Get("state"))
	if err != nil {
		if _, signedIn := s.Session(r); signedIn == nil {
			httpx.Redirect(w, http.StatusSeeOther, s.home()) // a reload of the page after the sign-in
			return false, nil
		}
		return true, staleAttempt(err)
	}
	http.SetCookie(w, s.attemptCookie(a.state, "", -1))
	// RFC 9207: refuse an answer of another provider.
	if iss := q.Get("iss"); iss != "" && iss != s.c.Issuer {
		return true, s.unverified(r, fmt.Errorf("the answer names issuer %.200q", iss))
	}
	if code := q.Get("error"); code != "" {
		return true, s.providerError(r, plainCode(code), q.Get("error_description"))
	}
	p, err := s.identify(r, a, q.Get("code"))
	if err != nil {
		s.logRefusal(r, err)
		return true, err
	}
	if err := s.begin(w, r, p); err != nil {
		return true, err
	}
	httpx.Redirect(w, http.StatusSeeOther, SafeNext(a.Next, s.home()))
	return true, nil
}

func staleAttempt(cause error) error {
	return &httpx.Error{Status: http.StatusBadRequest, Public: "this sign-in was begun in another browser, was used " +
		"already or took too long",
		Hint: "sign in again, with cookies allowed for this site", Cause: cause}
}

// providerError explains the codes of RFC 6749, 4.1.2.1 and OpenID Connect Core 3.1.2.6. The
// provider's own text goes to the journal only.
func (s *Service) providerError(r *http.Request, code, description string) error {
	s.c.Log.Warn("sign-in server sent an error", "event", "login-refused", "reason", code,
		"description", fmt.Sprintf("%.200q", description), "request", httpx.RequestID(r))
	switch code {
	case "access_denied":
		return &httpx.Error{Status: http.StatusForbidden, Public: "the sign-in was cancelled, or the sign-in server " +
			"does not let you use this hub", Hint: "sign in again, or ask the administrators of this hub"}
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return &httpx.Error{Status: http.StatusForbidden, Public: "the sign-in server wants to ask you something first",
			Hint: "sign in again"}
	case "temporarily_unavailable", "server_error":
		return unreachable(errors.New(code))
	}
	return &httpx.Error{Status: http.StatusBadGateway, Public: "the sign-in server does not accept this hub's " +
		"request (" + code + ")",
		Hint: "administrators: compare client id, callback URL and scopes with the provider's registration"}
}

// unverified is the error for an answer that may be forged. The cause goes to the journal only.
func (s *Service) unverified(r *http.Request, cause error) error {
	s.c.Log.Warn("sign-in refused: the answer cannot be verified", "event", "login-refused", "reason", "unverified",
		"error", cause.Error(), "request", httpx.RequestID(r))
	return &httpx.Error{Status: http.StatusForbidden, Public: "the answer of the sign-in server could not be verified",
		Hint: "sign in again; if it stays so, ask the administrators to read journalctl -u gifford-hub", Cause: cause}
}

// identify redeems the code and decides whether its person may enter.
func (s *Service) identify(r *http.Request, a attempt, code string) (person, error) {
	ctx := r.Context()
	ep, err := s.provider.get(ctx)
	if err != nil {
		return person{}, err
	}
	tok, err := s.provider.exchange(ctx, ep, code, a.Verifier)
	if err != nil {
		return person{}, exchangeFailure(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	id, c, err := s.provider.verify(ctx, ep, raw)
	if err != nil {
		return person{}, s.unverified(r, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return person{}, s.unverified(r, errors.New("the id_token's nonce is not this sign-in's"))
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
			return person{}, s.unverified(r, err)
		}
	}
	err = s.provider.complete(ctx, ep, c, tok.AccessToken)
	if errors.Is(err, errOtherPerson) {
		return person{}, s.unverified(r, err)
	}
	if err != nil {
		return person{}, fmt.Errorf("cannot get the claims of a person: %w", err)
	}
	return s.admit(ctx, c, tok, raw)
}

// exchangeFailure explains a refusal of the token endpoint.
func exchangeFailure(err error) error {
	var refused *tokenError
	switch {
	case invalidGrant(err):
		return staleAttempt(err)
	case errors.As(err, &refused):
		return &httpx.Error{Status: http.StatusBadGateway, Public: "the sign-in server does not accept this hub (" +
			refused.code + ")",
			Hint: "administrators: check client id, client secret and callback URL", Cause: err}
	}
	return err
}

// admit finds the Unix user of the claims and applies the rules.
func (s *Service) admit(ctx context.Context, c claims, tok *oauth2.Token, raw string) (person, error) {
	u, err := s.names.user(c)
	if err != nil {
		return person{}, err
	}
	groups, _ := c.groups(s.c.GroupsClaim)
	v, err := s.decide(ctx, u, groups)
	if err != nil && !v.allowed {
		return person{}, s.refused(ctx, c.text("sub"), groups, err)
	}
	if err != nil {
		s.c.Log.Warn("cannot look up whether the user is an administrator", "event", "lookup-failed", "user",
			u.String(), "error", err.Error())
	}
	if err := s.bind(ctx, u, c.text("sub")); err != nil {
		return person{}, err
	}
	p := person{user: u, display: c.text("name"), subject: c.text("sub"), groups: groups, admin: v.admin,
		secret: s.secretOf(tok, raw)}
	if p.display == "" {
		p.display = u.String()
	}
	return p, nil
}

// bind checks that a user's name belongs to the account that signs in, and makes it so at the first sign-in. A provider
// may hand a name to another person, or people may change theirs; their subject stays (Core 1.0, 5.7).
func (s *Service) bind(ctx context.Context, u ident.User, subject string) error {
	want := store.Identity{User: u, Issuer: s.c.Issuer, Subject: subject, Bound: s.c.Now()}
	have, err := s.c.Store.BindIdentity(ctx, want)
	switch {
	case err != nil:
		return err
	case have.User != u:
		return &Denied{Reason: OtherName, User: u, Detail: have.User.String()}
	case have.Issuer != want.Issuer || have.Subject != want.Subject:
		return &Denied{Reason: OtherAccount, User: u}
	}
	return nil
}

// decide returns the verdict on a user: a *Denied when the user certainly may not be here, another
// error when a lookup failed.
func (s *Service) decide(ctx context.Context, u ident.User, groups []string) (verdict, error) {
	if s.c.Access.blocked(u) {
		return verdict{}, &Denied{Reason: Blocked, User: u}
	}
	if s.c.Access.empty() {
		return verdict{}, &Denied{Reason: NoRule, User: u}
	}
	// This comes before the groups: who has no account is in no Unix group either.
	uid, exists, err := s.c.Accounts.UID(ctx, u)
	if err != nil {
		return verdict{}, lookupFailed(err)
	}
	if !exists {
		return verdict{}, &Denied{Reason: NoAccount, User: u}
	}
	v, err := s.c.Access.judge(ctx, s.c.Accounts, u, uid, groups)
	if err != nil {
		return v, lookupFailed(err)
	}
	if !v.allowed {
		return v, s.c.Access.refusal(u)
	}
	return v, nil
}

func lookupFailed(cause error) error {
	return &httpx.Error{Status: http.StatusServiceUnavailable,
		Public: "accounts cannot be looked up on this machine right now",
		Hint:   "try again in a minute; administrators: see getent passwd and the journal", Cause: cause}
}

// logRefusal logs why somebody was denied. Other errors were logged by unverified.
func (s *Service) logRefusal(r *http.Request, err error) {
	var d *Denied
	if errors.As(err, &d) {
		s.c.Log.Info("sign-in refused", "event", "login-refused", "user", d.User.String(), "reason", string(d.Reason),
			"name", fmt.Sprintf("%.80q", d.Name), "error", d.Error(), "request", httpx.RequestID(r))
	}
}
