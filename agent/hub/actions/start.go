package actions

import (
	"context"
	"errors"
	"maps"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// StartRequest is what a start asks for.
type StartRequest struct {
	Key         ident.Key
	DisplayName string // for people; "" leaves it as it is
	// Options replace those of the last start; nil uses them again. Of them "profile" (a string) and "without_gpus"
	// (a bool) mean something to the hub.
	Options map[string]any
	// Choice, where it is set, is what to start, whatever the options say. Its profile joins the options of the last
	// start.
	Choice *Choice
}

// Choice is what somebody chose to start.
type Choice struct {
	Profile     string // "": the policy's default
	WithoutGPUs bool   // none of the devices that the profile would get
}

// The options of a start that mean something to the hub.
const (
	optionProfile = "profile"
	optionWithout = "without_gpus"
)

// Start begins to start a server and returns at once. A named server is saved with it, within the number that a user
// may have. It takes the scope "start:servers" on the server.
//
// Refusals: LacksScope; NoUser; MayNotEnter, whoever asks; NamedServersOff, TooManyServers; BadOption, TooLong and
// Unshowable with their field; Running, Starting and Stopping where there is nothing to start. A start that is queued
// goes on without devices where the request asks for that itself.
func (a *Actions) Start(ctx context.Context, s access.Subject, req StartRequest) error {
	if err := needServer(s, req.Key, scopes.StartServers); err != nil {
		return err
	}
	if err := a.mayHave(ctx, s, req.Key, req.DisplayName); err != nil {
		return err
	}
	if err := a.mayEnter(ctx, req.Key.User); err != nil {
		return err
	}
	release, err := a.locks.take(ctx, req.Key, false)
	if err != nil {
		return err
	}
	defer release()
	state := a.cfg.Servers.Get(req.Key).State
	if state.Active() && !(state == servers.Queued && req.asksWithout()) {
		return active(req.Key, state)
	}
	choice, err := a.prepare(ctx, s, req)
	if err != nil {
		return err
	}
	err = a.cfg.Servers.Start(req.Key, choice.Profile, servers.Options{WithoutGPUs: choice.WithoutGPUs})
	if errors.Is(err, servers.ErrActive) { // started by somebody else than us, such as the culler
		return active(req.Key, a.cfg.Servers.Get(req.Key).State).because(err)
	}
	return a.record(ctx, ServerStartRequested, s, req.Key, err, Detail{keyProfile, choice.Profile})
}

// mayEnter refuses the server of somebody who may not use the hub any more: it would be ended again.
func (a *Actions) mayEnter(ctx context.Context, u ident.User) error {
	err := a.cfg.MayEnter(ctx, u)
	var denied *login.Denied
	if errors.As(err, &denied) {
		return refuse(Forbidden, MayNotEnter, u.String(), "no server starts for %s: %v", u, denied).because(err)
	}
	return err
}

// asksWithout reports whether the request itself, not the options of the last start, asks for no devices.
func (r StartRequest) asksWithout() bool {
	return r.Choice != nil && r.Choice.WithoutGPUs || r.Choice == nil && r.Options[optionWithout] == true
}

// active refuses to start a server that is active.
func active(k ident.Key, state servers.State) *Refusal {
	switch state {
	case servers.Ready:
		return refuse(Conflict, Running, k.String(), "server %s runs already", k)
	case servers.Stopping:
		return refuse(Conflict, Stopping, k.String(), "server %s is stopping", k)
	}
	return refuse(Conflict, Starting, k.String(), "server %s is starting already", k)
}

// mayHave refuses the server of somebody whom the hub does not know, a named one where the settings allow none, and a
// name for people that cannot be shown. The operator may start a server for anybody.
func (a *Actions) mayHave(ctx context.Context, s access.Subject, k ident.Key, displayName string) error {
	if isOperator(s) {
		return nil
	}
	if _, err := a.user(ctx, k.User); err != nil {
		return err
	}
	if err := checkText("display_name", displayName); err != nil {
		return err
	}
	if !k.Server.IsDefault() && a.cfg.NamedServers == 0 {
		return refuse(Invalid, NamedServersOff, k.String(), "this hub has one server a user, and none with a name")
	}
	return nil
}

// prepare returns what to start, and saves it for the next start. What the operator starts is not saved: the user may
// not be known yet, and finds their own choice again.
func (a *Actions) prepare(ctx context.Context, s access.Subject, req StartRequest) (Choice, error) {
	if isOperator(s) && req.Choice != nil {
		return *req.Choice, nil
	}
	rec, _, err := a.saved(ctx, req.Key)
	if err != nil {
		return Choice{}, err
	}
	choice, err := req.choose(&rec)
	if err != nil {
		return Choice{}, err
	}
	return choice, a.save(ctx, rec, req.DisplayName)
}

// choose returns what to start, and notes it in rec.
func (r StartRequest) choose(rec *store.Server) (choice Choice, err error) {
	if r.Choice != nil {
		if r.Choice.Profile != "" {
			rec.Profile = r.Choice.Profile
			rec.UserOptions = maps.Clone(rec.UserOptions)
			if rec.UserOptions == nil {
				rec.UserOptions = map[string]any{}
			}
			rec.UserOptions[optionProfile] = r.Choice.Profile
		}
		return *r.Choice, nil
	}
	if r.Options != nil {
		rec.UserOptions = r.Options
	}
	if choice.Profile, err = option[string](rec.UserOptions, optionProfile, "a string"); err != nil {
		return choice, err
	}
	if choice.WithoutGPUs, err = option[bool](rec.UserOptions, optionWithout, "true or false"); err != nil {
		return choice, err
	}
	if choice.Profile != "" {
		rec.Profile = choice.Profile
	}
	return choice, nil
}

// option reads an option that may be missing or null.
func option[T any](options map[string]any, name, kind string) (v T, err error) {
	raw, there := options[name]
	if !there || raw == nil {
		return v, nil
	}
	v, ok := raw.(T)
	if !ok {
		return v, invalid("user_options."+name, BadOption, name, "user_options.%s must be %s", name, kind)
	}
	return v, nil
}

// save saves a server, a new one within the number that its user may have.
func (a *Actions) save(ctx context.Context, rec store.Server, displayName string) error {
	if displayName != "" {
		rec.DisplayName = displayName
	}
	if rec.DisplayName == "" {
		rec.DisplayName = rec.Key.Server.String()
	}
	err := a.cfg.Records.UpsertServerWithin(ctx, rec, a.cfg.NamedServers)
	if errors.Is(err, store.ErrTooManyServers) {
		return refuse(Limit, TooManyServers, rec.Key.User.String(), "%s has as many named servers as there may be: %d",
			rec.Key.User, a.cfg.NamedServers).bounded(int64(a.cfg.NamedServers))
	}
	return err
}
