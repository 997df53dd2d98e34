package actions

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// minServiceToken is the shortest token that JupyterHub takes from outside, in bytes.
const minServiceToken = 8

// AddService adds a service and keeps it over a restart. token is its API token, "" for none. It takes the scope
// "admin:services" on the service, each scope that its OAuth client may ask people for, and an administrator for a
// service that is one.
//
// Refusals: LacksScope; ServiceExists; AdminsOnly (Invalid); ExceedsRights; BadService, of the field "api_token" where
// the token is too short.
func (a *Actions) AddService(ctx context.Context, s access.Subject, v services.Service, token string) error {
	if !s.MayService(v.Name, scopes.AdminServices) {
		return lacks(s, scopes.AdminServices)
	}
	if err := a.mayAdd(s, v, token); err != nil {
		return err
	}
	if token != "" {
		v.TokenHash = ident.HashToken(token)
	}
	err := a.cfg.Services.Add(v)
	var cannot *services.InvalidError
	switch {
	case errors.Is(err, store.ErrExists):
		return refuse(Conflict, ServiceExists, v.Name, "%v", err).because(err)
	case errors.As(err, &cannot):
		return invalid("service", BadService, v.Name, "%v", err).because(err)
	}
	return a.recordOn(ctx, ServiceAdded, s, err, Detail{keyService, v.Name},
		Detail{keyAdmin, strconv.FormatBool(v.Admin)})
}

// mayAdd refuses a service that exceeds the subject.
func (a *Actions) mayAdd(s access.Subject, v services.Service, token string) error {
	if _, exists := a.cfg.Services.Get(v.Name); exists {
		return refuse(Conflict, ServiceExists, v.Name, "service %s exists already", v.Name)
	}
	if token != "" && len(token) < minServiceToken {
		return invalid("api_token", BadService, v.Name, "api_token must be at least %d characters long",
			minServiceToken).
			bounded(minServiceToken)
	}
	if v.Admin && !s.Admin() {
		return invalid("admin", AdminsOnly, v.Name, "only an administrator makes a service an administrator")
	}
	if excess := s.Excess(a.cfg.Authority.Table(), v.AllowedScopes); len(excess) > 0 {
		list := strings.Join(excess, ", ")
		return invalid("oauth_client_allowed_scopes", ExceedsRights, list,
			"Not assigning requested scopes %s because they exceed those of %s %s", list, s.Kind(), s.Name())
	}
	return nil
}

// RemoveService removes a service that was added through the API. It takes the scope "admin:services" on the service.
//
// Refusals: LacksScope; NoService; Declared.
func (a *Actions) RemoveService(ctx context.Context, s access.Subject, name string) error {
	if !s.MayService(name, scopes.AdminServices) {
		return lacks(s, scopes.AdminServices)
	}
	err := a.cfg.Services.Remove(name)
	switch {
	case errors.Is(err, services.ErrUnknown):
		return refuse(NotFound, NoService, name, "service %s does not exist", name).because(err)
	case errors.Is(err, services.ErrDeclared):
		return refuse(Conflict, Declared, name, "service %s is declared in the settings", name).because(err)
	}
	return a.recordOn(ctx, ServiceRemoved, s, err, Detail{keyService, name})
}
