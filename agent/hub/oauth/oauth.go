// Package oauth is the hub's OAuth 2 provider for the single-user servers and the services: a
// server or service sends a browser here, and the browser returns with a code that the server
// or service exchanges for a token of the person in the browser. It implements the
// authorization code grant of RFC 6749 with PKCE (RFC 7636) as JupyterHub does
// (jupyterhub/oauth/provider.py and apihandlers/auth.py, version 5.5): redirect URIs are mostly
// paths, a client's secret is its JUPYTERHUB_API_TOKEN, and the scopes that open the client are
// always granted. It must never grant more than the person in the browser may do.
package oauth

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// records stores codes and tokens by their hashes.
type records interface {
	CreateCode(ctx context.Context, c store.Code) error
	TakeCode(ctx context.Context, hash string) (store.Code, error)
	CreateToken(ctx context.Context, t store.Token) (int64, error)
	TokensOf(ctx context.Context, u ident.User) ([]store.Token, error)
}

// Question is what a person is asked before a client learns who they are.
type Question struct {
	Client Client
	Scopes []scopes.Description // what the client may do beyond identifying the person
	Raw    []string             // the same scopes, as the form sends them back
}

// Config is what a Provider needs; all fields are required.
type Config struct {
	Clients Clients
	Records records
	Table   *scopes.Table
	// Role returns the scopes of a role: a client may name roles instead of scopes.
	Role func(name string) (list []string, ok bool)
	// Person returns who is in the browser. Its error is answered as it is.
	Person func(r *http.Request) (access.Subject, error)
	// Confirm answers with the confirmation page, which posts back to the same URL.
	Confirm func(w http.ResponseWriter, r *http.Request, q Question) error
	// Agreed reports whether somebody need not be asked before they open a server; Agree notes that they were asked and
	// want to.
	Agreed func(ctx context.Context, person access.Subject, server ident.Key) (bool, error)
	Agree  func(ctx context.Context, person access.Subject, server ident.Key) error
	// TokenLife is how long an access token is valid.
	TokenLife time.Duration
	Log       *slog.Logger
}

// Provider answers /hub/api/oauth2/authorize and /hub/api/oauth2/token.
type Provider struct{ cfg Config }

// New makes a Provider.
func New(cfg Config) *Provider { return &Provider{cfg} }
