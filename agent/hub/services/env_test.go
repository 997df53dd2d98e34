package services

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnv(t *testing.T) {
	hub := EnvConfig{BaseURL: "/x/", APIURL: "http://127.0.0.1:8081/x/hub/api", PublicURL: "https://hub.example.org/x/"}
	every := map[string]string{
		"JUPYTERHUB_API_URL": hub.APIURL, "JUPYTERHUB_BASE_URL": "/x/", "JUPYTERHUB_HOST": "",
		"JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED": "0",
		"JUPYTERHUB_PUBLIC_HUB_URL":             "https://hub.example.org/x/hub/", "JUPYTERHUB_PUBLIC_URL": "",
	}
	access := `["access:services","access:services!service=board"]`
	tests := map[string]struct {
		service Service
		want    map[string]string // beside every
	}{
		"API alone": {Service{Name: "culler"}, map[string]string{"JUPYTERHUB_SERVICE_NAME": "culler"}},
		"pages": {Service{Name: "board", URL: "http://127.0.0.1:9001"},
			map[string]string{"JUPYTERHUB_SERVICE_NAME": "board",
				"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9001", "JUPYTERHUB_SERVICE_PREFIX": "/x/services/board/",
				"JUPYTERHUB_PUBLIC_URL": "https://hub.example.org/x/services/board/"}},
		"OAuth elsewhere": {Service{Name: "board", ClientID: "service-b", RedirectURI: "https://b.example.org/cb",
			AllowedScopes: []string{"custom:a:b!user"}}, map[string]string{
			"JUPYTERHUB_SERVICE_NAME": "board", "JUPYTERHUB_CLIENT_ID": "service-b",
			"JUPYTERHUB_OAUTH_CALLBACK_URL": "https://b.example.org/cb",
			"JUPYTERHUB_OAUTH_SCOPES":       access, "JUPYTERHUB_OAUTH_ACCESS_SCOPES": access,
			"JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": `["custom:a:b!user"]`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{}
			for k, v := range every {
				want[k] = v
			}
			for k, v := range tt.want {
				want[k] = v
			}
			if diff := cmp.Diff(want, hub.Env(tt.service)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWriteEnv has a shell read the file back, whose quoting systemd's is (systemd.exec(5)).
func TestWriteEnv(t *testing.T) {
	env := map[string]string{"A": `["a","b!group=Bob's"]`, "B": `$HOME \n "x" ` + "`id`", "C": "",
		"D": "http://127.0.0.1:8081/hub/api", "E": "a b;c"}
	var b strings.Builder
	if err := WriteEnv(&b, env); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "A=") || strings.Count(b.String(), "\n") != len(env) {
		t.Errorf("wrote\n%s", b.String())
	}
	file := filepath.Join(t.TempDir(), "env")
	writeFile(t, file, b.String())
	for name, want := range env {
		out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", ". "+file+`; printf %s "$`+name+`"`).Output()
		if err != nil || string(out) != want {
			t.Errorf("%s is read as %q, %v; want %q", name, out, err, want)
		}
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
