package actions

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Bounds of a share code's life (jupyterhub/apihandlers/shares.py: ShareCodeGrantRequest).
const (
	MinCodeLife = time.Minute
	MaxCodeLife = 365 * 24 * time.Hour
)

// CreateCode makes a code that whoever has it may exchange for a share with the scopes, as GrantShare has them. The
// code itself is saved nowhere. It takes the scope "shares" on the server and each scope that it shares.
//
// Refusals: LacksScope; NoServer; BadLife; BadScope, WrongFilter; ExceedsRights.
func (a *Actions) CreateCode(ctx context.Context, s access.Subject, k ident.Key, list []string, life time.Duration) (
	secret string, code store.ShareCode, err error) {
	if life < MinCodeLife || life > MaxCodeLife {
		return "", code, invalid("expires_in", BadLife, "", "a share code lives from %s to %s", MinCodeLife,
			MaxCodeLife).bounded(int64(MaxCodeLife / time.Second))
	}
	if list, err = a.shareable(ctx, s, k, list); err != nil {
		return "", code, err
	}
	now := a.cfg.Now()
	secret = rand.Text()
	code = store.ShareCode{Hash: ident.HashToken(secret), Key: k, Scopes: list, Created: now, Expires: now.Add(life)}
	code.ID, err = a.cfg.Records.CreateShareCode(ctx, code)
	return secret, code, a.record(ctx, ShareCodeCreated, s, k, err, codeNumber(code.ID))
}

// codeNumber is the Detail of a code, without one where none was made.
func codeNumber(id int64) Detail {
	if id == 0 {
		return Detail{}
	}
	return Detail{keyCode, strconv.FormatInt(id, 10)}
}

// DeleteCode revokes a server's code by its number. It takes the scope "shares" on the server.
//
// Refusals: LacksScope; NoServer; NoCode.
func (a *Actions) DeleteCode(ctx context.Context, s access.Subject, k ident.Key, id int64) error {
	return a.deleteCode(ctx, s, k, codeNumber(id), func() error { return a.cfg.Records.DeleteShareCode(ctx, k, id) })
}

// DeleteCodeItself is DeleteCode for whoever has the code.
func (a *Actions) DeleteCodeItself(ctx context.Context, s access.Subject, k ident.Key, secret string) error {
	return a.deleteCode(ctx, s, k, Detail{}, func() error {
		return a.cfg.Records.DeleteShareCodeByHash(ctx, k, ident.HashToken(secret))
	})
}

// DeleteCodes revokes all codes of a server. It takes the scope "shares" on the server.
//
// Refusals: LacksScope; NoServer.
func (a *Actions) DeleteCodes(ctx context.Context, s access.Subject, k ident.Key) error {
	return a.deleteCode(ctx, s, k, Detail{}, func() error { return a.cfg.Records.DeleteShareCodes(ctx, k) })
}

func (a *Actions) deleteCode(ctx context.Context, s access.Subject, k ident.Key, which Detail, do func() error) error {
	if err := a.mayShare(ctx, s, k); err != nil {
		return err
	}
	err := do()
	if errors.Is(err, store.ErrNotFound) {
		return refuse(NotFound, NoCode, k.String(), "server %s has no such share code", k)
	}
	return a.record(ctx, ShareCodeDeleted, s, k, err, which)
}

// ExchangeCode turns a code into a share for the user who has it, and returns the code's record: its Key is the server.
// Any user may; a service may not.
//
// Refusals: LacksScope for a service; NoCode; Oneself, with the record, where it shares the user's own server.
func (a *Actions) ExchangeCode(ctx context.Context, s access.Subject, secret string) (store.ShareCode, error) {
	if s.User.IsZero() {
		return store.ShareCode{}, refuse(Forbidden, LacksScope, "", "only users accept shares")
	}
	hash := ident.HashToken(secret)
	code, err := a.cfg.Records.ShareCodeByHash(ctx, hash)
	if err == nil && code.Key.User == s.User {
		return code, refuse(Conflict, Oneself, code.Key.String(), "the code shares the user's own server")
	}
	if err == nil {
		_, err = a.cfg.Records.ExchangeShareCode(ctx, hash, s.User)
	}
	if errors.Is(err, store.ErrNotFound) {
		return code, refuse(NotFound, NoCode, "", "no such share code")
	}
	return code, a.record(ctx, ShareAccepted, s, code.Key, err, codeNumber(code.ID))
}
