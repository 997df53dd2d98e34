package actions

import (
	"context"
	"errors"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ForgetIdentity ends a user's sessions and lets the next account of the provider that signs in under their name have
// it. It takes the operator: an administrator of the hub could else become any member.
//
// Refusals: AdminsOnly for anybody but the operator; NoUser for a name that is bound to no account.
func (a *Actions) ForgetIdentity(ctx context.Context, s access.Subject, u ident.User) error {
	if !isOperator(s) {
		return refuse(Forbidden, AdminsOnly, "", "only root on the hub's host changes whose a name is")
	}
	err := a.cfg.Records.ForgetIdentity(ctx, u)
	if errors.Is(err, store.ErrNotFound) {
		return refuse(NotFound, NoUser, u.String(), "the name %s is bound to no account of the sign-in server", u)
	}
	if err == nil {
		err = a.cfg.EndSessions(ctx, u)
	}
	return a.record(ctx, IdentityForgotten, s, ident.Key{User: u}, err)
}
