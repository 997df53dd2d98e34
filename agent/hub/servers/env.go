package servers

import (
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// EnvConfig is what the environment of every single-user server has in common.
type EnvConfig struct {
	BaseURL   string // the hub's base URL, "/" or "/x/"
	APIURL    string // where the container reaches the hub's API, "http://127.0.0.1:8081/hub/api"
	PublicURL string // the public URL of BaseURL with a slash at the end; "" if not known
	// Origins says where browsers reach the hub and each member's servers.
	Origins origins.Origins
}

// ClientID returns the OAuth client id of a server, as JupyterHub makes it (user.py:
// "jupyterhub-user-" and the quoted names). It is also the name of the server's
// cookie in the browser.
func ClientID(k ident.Key) string {
	id := "jupyterhub-user-" + url.QueryEscape(k.User.String())
	if !k.Server.IsDefault() {
		id += "-" + url.QueryEscape(k.Server.String())
	}
	return id
}

// Callback returns the only redirect_uri that the server's OAuth client may name: a path, or a URL where each member
// has an origin.
func (c EnvConfig) Callback(k ident.Key) string {
	return c.origin(k) + c.Prefix(k) + "oauth_callback"
}

// origin returns the origin of the member's servers if each member has one, else "".
func (c EnvConfig) origin(k ident.Key) string {
	if !c.Origins.Separate() {
		return ""
	}
	return c.Origins.Server(k.User)
}

// PublicServerURL returns where browsers reach a server, without a host where the hub's is not known.
func (c EnvConfig) PublicServerURL(k ident.Key) string {
	if origin := c.origin(k); origin != "" {
		return origin + c.Prefix(k)
	}
	return c.PublicURL + k.Path()[1:]
}

// Prefix returns the server's URL path under the hub's base URL, slashes at both ends.
func (c EnvConfig) Prefix(k ident.Key) string { return c.BaseURL + k.Path()[1:] }

// AccessScopes returns the scopes of which any one opens the server (JupyterHub's
// spawner.oauth_access_scopes).
func AccessScopes(k ident.Key) []string {
	return []string{
		fmt.Sprintf("access:servers!server=%s/%s", k.User, k.Server),
		fmt.Sprintf("access:servers!user=%s", k.User),
	}
}

// Env builds JupyterHub's part of a server's environment (JupyterHub 5.5,
// jupyterhub/spawner.py, Spawner.get_env). What depends on the container, such as
// JUPYTERHUB_SERVICE_URL and MEM_LIMIT, is the launcher's.
func (c EnvConfig) Env(k ident.Key, token string) map[string]string {
	scopes, _ := json.Marshal(AccessScopes(k)) // strings always encode
	env := map[string]string{
		"JUPYTERHUB_API_TOKEN":                   token,
		"JPY_API_TOKEN":                          token,
		"JUPYTERHUB_CLIENT_ID":                   ClientID(k),
		"JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED":  "0",
		"JUPYTERHUB_HOST":                        "",
		"JUPYTERHUB_OAUTH_CALLBACK_URL":          c.Callback(k),
		"JUPYTERHUB_OAUTH_SCOPES":                string(scopes),
		"JUPYTERHUB_OAUTH_ACCESS_SCOPES":         string(scopes),
		"JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": "[]",
		"JUPYTERHUB_USER":                        k.User.String(),
		"JUPYTERHUB_SERVER_NAME":                 k.Server.String(),
		"JUPYTERHUB_API_URL":                     c.APIURL,
		"JUPYTERHUB_ACTIVITY_URL":                c.APIURL + "/users/" + url.PathEscape(k.User.String()) + "/activity",
		"JUPYTERHUB_BASE_URL":                    c.BaseURL,
		"JUPYTERHUB_SERVICE_PREFIX":              c.Prefix(k),
		"JUPYTERHUB_PUBLIC_URL":                  "",
		"JUPYTERHUB_PUBLIC_HUB_URL":              "",
	}
	if c.PublicURL != "" {
		env["JUPYTERHUB_PUBLIC_URL"] = c.PublicServerURL(k)
		env["JUPYTERHUB_PUBLIC_HUB_URL"] = c.PublicURL + "hub/"
	}
	if c.Origins.Separate() { // as JupyterHub's subdomain_host
		env["JUPYTERHUB_HOST"] = c.Origins.Hub()
	}
	return env
}
