package oauth

import (
	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// running knows the servers.
type running interface {
	List() []servers.Server
	TokenOwner(token string) (ident.Key, bool)
}

// declared knows the services that are OAuth clients.
type declared interface {
	Client(clientID string) (services.Service, bool)
	ByToken(token string) (name string, ok bool)
}

// Client is the OAuth client that people sign in to: a server or a service.
type Client struct {
	ID        string
	Server    *ident.Key // nil for a service
	Service   string     // "" for a server
	Redirect  string     // the only redirect_uri, compared as text; usually a path
	Allowed   []string   // scopes that it may ask for, beyond those to identify and to enter
	NoConfirm bool       // the settings trust it: nobody is asked
	Path      string     // where people find it
}

// access is the scope that opens the client.
func (c Client) access() string {
	if c.Server != nil {
		return scopes.AccessServer(*c.Server)
	}
	return scopes.AccessService(c.Service)
}

// admits reports whether a person may enter.
func (c Client) admits(p access.Subject) bool {
	if c.Server != nil {
		return p.MayServer(*c.Server, scopes.AccessServers)
	}
	return p.MayService(c.Service, scopes.AccessServices)
}

// owner is whose "!user", "!server" and "!service" a token of p for the client means.
func (c Client) owner(p access.Subject) scopes.Owner {
	return scopes.Owner{User: p.User, Server: c.Server, Service: c.Service}
}

// Clients finds OAuth clients: each running server is one, and each service that says so.
type Clients struct {
	Servers  running
	Services declared
	Env      servers.EnvConfig // to know each server's callback path
}

// Find returns the client with that id; a server's only while it is active.
func (c Clients) Find(id string) (Client, bool) {
	if id == "" {
		return Client{}, false
	}
	for _, s := range c.Servers.List() {
		if s.State.Active() && servers.ClientID(s.Key) == id {
			key := s.Key
			return Client{ID: id, Server: &key, Redirect: c.Env.Callback(key), Path: c.Env.Prefix(key)}, true
		}
	}
	s, ok := c.Services.Client(id)
	if !ok {
		return Client{}, false
	}
	return Client{ID: id, Service: s.Name, Redirect: s.Callback(c.Env.Origins), Allowed: s.AllowedScopes,
		NoConfirm: s.NoConfirm, Path: s.Prefix}, true
}

// authenticate checks a client's secret, which is its API token.
func (c Clients) authenticate(id, secret string) (Client, bool) {
	client, ok := c.Find(id)
	if !ok {
		return client, false
	}
	if client.Server != nil {
		key, known := c.Servers.TokenOwner(secret)
		return client, known && key == *client.Server
	}
	name, known := c.Services.ByToken(secret)
	return client, known && name == client.Service
}
