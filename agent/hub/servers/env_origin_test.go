package servers

import (
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestEnvWithOrigins checks JupyterHub's contract for subdomain_host: the hub's host, and whole URLs of the server.
func TestEnvWithOrigins(t *testing.T) {
	at, err := origins.New("https://hub.example.org/x/", "https://{user}.hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ident.ParseKey("alice", "gpu")
	if err != nil {
		t.Fatal(err)
	}
	c := EnvConfig{BaseURL: "/x/", APIURL: "http://127.0.0.1:8081/x/hub/api", PublicURL: "https://hub.example.org/x/",
		Origins: at}
	env := c.Env(key, "secret")
	const url = "https://alice.hub.example.org/x/user/alice/gpu/"
	for name, want := range map[string]string{
		"JUPYTERHUB_HOST":               "https://hub.example.org",
		"JUPYTERHUB_PUBLIC_URL":         url,
		"JUPYTERHUB_PUBLIC_HUB_URL":     "https://hub.example.org/x/hub/",
		"JUPYTERHUB_OAUTH_CALLBACK_URL": url + "oauth_callback",
		"JUPYTERHUB_SERVICE_PREFIX":     "/x/user/alice/gpu/",
		"JUPYTERHUB_API_URL":            "http://127.0.0.1:8081/x/hub/api",
	} {
		if env[name] != want {
			t.Errorf("%s=%s, want %s", name, env[name], want)
		}
	}
	if got := c.PublicServerURL(key); got != url {
		t.Errorf("the server is at %s", got)
	}
}
