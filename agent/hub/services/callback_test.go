package services

import (
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
)

// TestCallback checks where a service's OAuth client is sent back to, and what its environment says.
func TestCallback(t *testing.T) {
	at, err := origins.New("https://hub.example.org/", "https://{user}.hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	const path = "/services/board/oauth_callback"
	proxied := Service{Name: "board", URL: "http://127.0.0.1:9001", ClientID: "service-board", RedirectURI: path}
	for name, tt := range map[string]struct {
		s    Service
		at   origins.Origins
		want string
	}{
		"one origin": {proxied, origins.Origins{}, path},
		"its own":    {proxied, at, "https://board--service.hub.example.org" + path},
		"elsewhere": {Service{RedirectURI: "https://board.example.org/back", URL: "http://x"}, at,
			"https://board.example.org/back"},
		"not of the hub":  {Service{RedirectURI: "/back"}, at, "/back"},
		"no OAuth client": {Service{}, at, ""},
	} {
		if got := tt.s.Callback(tt.at); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	env := EnvConfig{BaseURL: "/", PublicURL: "https://hub.example.org/", Origins: at}.Env(proxied)
	if env["JUPYTERHUB_HOST"] != "https://hub.example.org" ||
		env["JUPYTERHUB_PUBLIC_URL"] != "https://board--service.hub.example.org/services/board/" ||
		env["JUPYTERHUB_OAUTH_CALLBACK_URL"] != "https://board--service.hub.example.org"+path {
		t.Errorf("the environment is %v", env)
	}
}
