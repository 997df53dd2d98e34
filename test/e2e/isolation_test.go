//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// testAliceAndBob run servers at once; each is refused the other's by every way in.
func testAliceAndBob(t *testing.T) {
	h := theHost(t)
	alice, bob := member(t, h, "alice"), member(t, h, "bob")
	alice.start("alice", "jupyterlab")
	bob.start("bob", "jupyterlab")
	ka, kb := alice.newKernel("alice"), bob.newKernel("bob")
	if a, b := ka.exec("import os; print(os.environ['JUPYTERHUB_USER'])"),
		kb.exec("import os; print(os.environ['JUPYTERHUB_USER'])"); a != "alice\n" || b != "bob\n" {
		t.Errorf("the servers are %q's and %q's", a, b)
	}
	t.Run("page", func(t *testing.T) {
		if p := alice.get("/user/bob/lab"); p.status != http.StatusNotFound { // as if there were none
			t.Errorf("alice at bob's server: %s", p)
		}
	})
	t.Run("api", func(t *testing.T) {
		for _, path := range []string{"/user/bob/api/contents", "/user/bob/api/kernels",
			"/user/alice/../bob/api/kernels",
			"/user/alice/..%2Fbob/api/kernels", "/user/alice%2F..%2Fbob/api/kernels", "/user/%62ob/api/kernels"} {
			if p := alice.get(path); p.status == http.StatusOK {
				t.Errorf("alice at %s: %s", path, p)
			}
		}
	})
	t.Run("token", func(t *testing.T) {
		token := strings.TrimSpace(ka.exec("print(os.environ['JUPYTERHUB_API_TOKEN'])"))
		status := func(user string) string {
			return strings.TrimSpace(h.run(t, "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H",
				"Authorization: token "+token,
				"https://"+h.ip+"/user/"+user+"/api/kernels"))
		}
		if own, other := status("alice"), status("bob"); own != "200" || other == "200" {
			t.Errorf("alice's server token gives %s on her server and %s on bob's", own, other)
		}
	})
	t.Run("hub", func(t *testing.T) {
		for method, path := range map[string]string{"GET": "/users/bob", "POST": "/users/bob/server",
			"DELETE": "/users/bob/server"} {
			if p := alice.api(method, path, ""); p.status != http.StatusNotFound {
				t.Errorf("alice: %s %s: %s", method, path, p)
			}
		}
	})
	t.Run("symbolic link to the other's socket", func(t *testing.T) {
		bobs := strings.TrimSpace(h.run(t, "find", "/run/gifford-launcher/servers/bob", "-type", "s"))
		mine := strings.TrimSpace(h.run(t, "find", "/run/gifford-launcher/servers/alice", "-type", "s"))
		h.sh(t, "alice", "mv "+mine+" "+mine+".kept && ln -s "+bobs+" "+mine)
		defer h.sh(t, "alice", "mv -f "+mine+".kept "+mine)
		// Connections that the hub keeps go to alice's own server still; each open WebSocket
		// takes one of them, so the hub must soon make a new one.
		eventually(t, "the hub refuses the strange socket", time.Minute, func() bool {
			_, status, _ := ka.dial()
			if status == http.StatusForbidden || status == http.StatusNotFound {
				t.Fatalf("the request reached bob's server, which answered %d", status)
			}
			return status >= 500
		})
	})
	t.Run("files", func(t *testing.T) {
		if got := ka.exec(`open("/cluster/bob/from-alice","w")`); !strings.Contains(got, "Error") {
			t.Errorf("alice wrote into bob's home: %q", got)
		}
		h.fails(t, "test", "-e", "/cluster/bob/from-alice")
	})
	t.Run("administrator", func(t *testing.T) {
		dora := member(t, h, "dora")
		opened := func() int {
			return strings.Count(h.run(t, "journalctl", "-q", "--no-pager", "-o", "cat", "-u", "gifford-hub",
				"EVENT=shared-server-opened", "JUPYTER_USER=dora"), "\n")
		}
		before := opened()
		p := dora.get("/user/alice/lab?reset")
		if p.status != http.StatusOK || p.url.Path != "/hub/user/alice/lab" {
			t.Fatalf("an administrator is not asked before she opens somebody's server: %s", p)
		}
		if p := dora.jupyter("alice", "GET", "/api/status", ""); p.status != http.StatusForbidden {
			t.Errorf("before her yes a script gets %s", p)
		}
		p = dora.press(p, "/hub/open/alice")
		if p.status != http.StatusOK || p.url.RequestURI() != "/user/alice/lab?reset" {
			t.Errorf("after her yes: %s", p)
		}
		if policy := p.header.Values("Content-Security-Policy"); !strings.Contains(strings.Join(policy, "\n"),
			"connect-src https://"+h.ip+"/user/alice/ wss://"+h.ip+"/user/alice/") {
			t.Errorf("the page is not confined: %q", policy)
		}
		if p := dora.get("/user/alice/lab"); p.status != http.StatusOK || p.url.Path != "/user/alice/lab" {
			t.Errorf("she is asked again: %s", p)
		}
		eventually(t, "the journal has once that dora opened alice's server", time.Minute, func() bool {
			return opened() == before+1
		})
	})
}
