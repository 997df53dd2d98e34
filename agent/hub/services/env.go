package services

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
)

// EnvConfig is what the environments of all services have in common.
type EnvConfig struct {
	BaseURL   string // the hub's base URL, "/" or "/x/"
	APIURL    string // where services of this host reach the hub's API
	PublicURL string // the public URL of BaseURL with a slash at the end; "" if not known
	// Origins says where browsers reach the hub and each service.
	Origins origins.Origins
}

// AccessScopes returns the scopes of which any one opens a service (JupyterHub's
// _ServiceSpawner, services/service.py).
func AccessScopes(name string) []string {
	return []string{"access:services", "access:services!service=" + name}
}

// Env returns what JupyterHub would put into the environment of a service that it starts itself
// (jupyterhub/services/service.py, Service.start; spawner.py, Spawner.get_env), without JUPYTERHUB_API_TOKEN, of which
// the hub stores only a hash.
func (c EnvConfig) Env(s Service) map[string]string {
	env := map[string]string{
		"JUPYTERHUB_SERVICE_NAME":               s.Name,
		"JUPYTERHUB_API_URL":                    c.APIURL,
		"JUPYTERHUB_BASE_URL":                   c.BaseURL,
		"JUPYTERHUB_HOST":                       "",
		"JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED": "0",
		"JUPYTERHUB_PUBLIC_URL":                 "",
		"JUPYTERHUB_PUBLIC_HUB_URL":             "",
	}
	prefix := "services/" + s.Name + "/"
	if c.PublicURL != "" {
		env["JUPYTERHUB_PUBLIC_HUB_URL"] = c.PublicURL + "hub/"
	}
	if s.URL != "" {
		env["JUPYTERHUB_SERVICE_URL"] = s.URL
		env["JUPYTERHUB_SERVICE_PREFIX"] = c.BaseURL + prefix
		if c.PublicURL != "" {
			env["JUPYTERHUB_PUBLIC_URL"] = c.PublicURL + prefix
		}
	}
	if c.Origins.Separate() { // as JupyterHub's subdomain_host
		env["JUPYTERHUB_HOST"] = c.Origins.Hub()
		if s.URL != "" {
			env["JUPYTERHUB_PUBLIC_URL"] = c.Origins.Service(s.Name) + c.BaseURL + prefix
		}
	}
	if s.ClientID != "" {
		scopes := list(AccessScopes(s.Name))
		env["JUPYTERHUB_CLIENT_ID"] = s.ClientID
		env["JUPYTERHUB_OAUTH_CALLBACK_URL"] = s.Callback(c.Origins)
		env["JUPYTERHUB_OAUTH_SCOPES"] = scopes
		env["JUPYTERHUB_OAUTH_ACCESS_SCOPES"] = scopes
		env["JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES"] = list(s.AllowedScopes)
	}
	return env
}

// list is JSON, as JupyterHub has lists in variables.
func list(texts []string) string {
	if texts == nil {
		texts = []string{}
	}
	b, _ := json.Marshal(texts) // strings always encode
	return string(b)
}

// WriteEnv writes variables in the order of their names in the form that EnvironmentFile= reads (systemd.exec(5)).
func WriteEnv(w io.Writer, env map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if _, err := fmt.Fprintf(w, "%s=%s\n", name, quoted(env[name])); err != nil {
			return err
		}
	}
	return nil
}

// special are the characters that a backslash must precede between double quotes.
var special = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`)

// quoted writes a value in double quotes, unless none of its characters is special.
func quoted(value string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:@+,=%"
	if strings.Trim(value, harmless) == "" {
		return value
	}
	return `"` + special.Replace(value) + `"`
}
