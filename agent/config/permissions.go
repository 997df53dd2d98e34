package config

import "github.com/gifford-lab/gifford-hub/agent/ident"

// Role is a section [roles.NAME], JupyterHub's load_roles. Of the default roles only
// "user", "server" and "token" can stand there, with other scopes than JupyterHub's.
type Role struct {
	Description string
	Scopes      []string
	Users       []ident.User
	Groups      []string
	Services    []string // names of Config.Services
}

// Group is a section [groups.NAME], JupyterHub's load_groups.
type Group struct {
	Users      []ident.User
	Properties map[string]any // of text, int64, float64 and bool
}

// CustomScope is a section [custom_scopes."custom:NAME"], JupyterHub's custom_scopes.
type CustomScope struct {
	Description string
	Subscopes   []string // other custom scopes
}

// Service is a section [services.NAME], JupyterHub's services. The administrator runs it.
type Service struct {
	URL                string // "http://127.0.0.1:8082" or "unix:/run/x/sock"; "" without a web page
	Admin              bool
	Token              Secret // from TokenFile or the credential service-NAME; zero without one
	TokenFile          string
	OAuth              bool
	OAuthClientID      string // "service-NAME" unless set
	OAuthRedirectURI   string // a path, or an absolute URL
	OAuthNoConfirm     bool
	OAuthAllowedScopes []string
	Scopes             []string // what its token may do
	Unit               string   // of systemd; "" when not told
	Display            bool
	Info               map[string]any // of text, int64, float64 and bool
}
