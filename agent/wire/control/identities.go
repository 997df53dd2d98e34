package control

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/unixhttp"
)

// Identity is the account of the sign-in server to which a user's name belongs.
type Identity struct {
	User    ident.User `json:"user"`
	Issuer  string     `json:"issuer"`
	Subject string     `json:"subject"`
	Bound   time.Time  `json:"bound"` // of the first sign-in
}

// ForgetRequest lets another account have a user's name.
type ForgetRequest struct {
	User ident.User `json:"user"`
}

// Identities returns whose the users' names are, sorted by name.
func (c *Client) Identities(ctx context.Context) ([]Identity, error) {
	var all []Identity
	return all, c.http.Get(ctx, IdentitiesPath, &all)
}

// ForgetIdentity lets the next account that signs in under a user's name have it.
func (c *Client) ForgetIdentity(ctx context.Context, user ident.User) error {
	return c.http.Post(ctx, ForgetPath, unixhttp.JSON(ForgetRequest{user}), nil)
}
