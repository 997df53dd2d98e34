package actions

import (
	"context"
	"errors"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Agree notes that somebody was asked whether they open another's server in their browser, and wants to. They are not
// asked again in this session, and the journal has it once. It takes the scope "access:servers" on the server, and a
// session.
//
// Refusals: LacksScope.
func (a *Actions) Agree(ctx context.Context, s access.Subject, k ident.Key) error {
	if err := needServer(s, k, scopes.AccessServers); err != nil {
		return err
	}
	if s.User == k.User {
		return nil
	}
	if s.SessionID == "" {
		return errors.New("nobody agrees without a session")
	}
	first, err := a.cfg.Records.Agree(ctx, s.SessionID, k)
	if err != nil || !first {
		return err
	}
	fields := []any{"event", "shared-server-opened", "user", s.User.String(), "owner", k.User.String(), "server",
		k.Server.String()}
	if a.cfg.RequestID != nil {
		fields = append(fields, "request", a.cfg.RequestID(ctx))
	}
	a.cfg.Log.Warn("shared server opened", fields...)
	return nil
}

// Agreed reports whether somebody need not be asked before they open a server: it is theirs, or they have agreed.
func (a *Actions) Agreed(ctx context.Context, s access.Subject, k ident.Key) (bool, error) {
	if s.User == k.User {
		return true, nil
	}
	return a.cfg.Records.Agreed(ctx, s.SessionID, k)
}
