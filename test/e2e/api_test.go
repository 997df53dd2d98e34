//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// withSettings returns the hub a drop-in for the time of a test.
func withSettings(t *testing.T, h host, name, text string) {
	t.Helper()
	path := "/etc/gifford-hub/hub.d/" + name
	h.run(t, "install", "-d", "-m", "0755", "/etc/gifford-hub/hub.d")
	h.put(t, path, "0644", text)
	t.Cleanup(func() {
		if out, err := h.try(noEnd(t), "sh", "-ec", "rm -f "+path+
			" && systemctl restart gifford-hub.service"); err != nil {
			t.Errorf("cannot take the settings back: %v\n%s", err, out)
		}
	})
	h.run(t, "systemctl", "restart", "gifford-hub.service")
}

// testNamedServer runs a second server of alice's beside her default one: its own unit,
// its own socket, its own kernel.
func testNamedServer(t *testing.T) {
	h := theHost(t)
	withSettings(t, h, "60-named.toml", "[servers]\nnamed = 1\n")
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab")
	if p := v.api("POST", "/users/alice/servers/gpu", `{"profile":"jupyterlab"}`); p.status != http.StatusCreated &&
		p.status != http.StatusAccepted {
		t.Fatalf("cannot start it: %s", p)
	}
	t.Cleanup(func() { _, _ = h.try(noEnd(t), "gifford-hub", "servers", "stop", "alice:gpu") })
	eventually(t, "the named server is ready", time.Minute, func() bool {
		return strings.Contains(v.api("GET", "/users/alice/servers/gpu", "").body, `"ready":true`)
	})
	if p := v.api("POST", "/users/alice/servers/second", ""); p.status != http.StatusBadRequest ||
		!strings.Contains(p.body, "maximum of 1") {
		t.Errorf("one too many: %s", p)
	}
	for _, unit := range []string{"jupyter-alice.service", "jupyter-alice:gpu.service"} {
		if state := h.property(t, unit, "ActiveState"); state != "active" {
			t.Errorf("%s is %s", unit, state)
		}
	}
	if p := v.get("/user/alice/gpu/lab"); p.status != http.StatusOK || p.url.Path != "/user/alice/gpu/lab" {
		t.Fatalf("cannot open it: %s", p)
	}
	k := v.newKernel("alice/gpu")
	if out := k.exec("import os; print(os.environ['JUPYTERHUB_SERVER_NAME'], " +
		"os.environ['JUPYTERHUB_SERVICE_PREFIX'])"); out != "gpu /user/alice/gpu/\n" {
		t.Errorf("the kernel says %q", out)
	}
	bob := member(t, h, "bob")
	if p := bob.get("/user/alice/gpu/lab"); p.status != http.StatusForbidden && p.status != http.StatusNotFound {
		t.Errorf("bob at alice's named server: %s", p)
	}
	if out := h.run(t, "gifford-hub", "servers", "list"); !strings.Contains(out, "alice:gpu") {
		t.Errorf("\"servers list\" does not show it:\n%s", out)
	}
	if p := v.api("DELETE", "/users/alice/servers/gpu", `{"remove":true}`); p.status != http.StatusNoContent &&
		p.status != http.StatusAccepted {
		t.Errorf("removing it: %s", p)
	}
	eventually(t, "its unit is gone", time.Minute, func() bool {
		return h.property(t, "jupyter-alice:gpu.service",
			"ActiveState") == "inactive"
	})
	if p := v.api("GET", "/users/alice/servers/gpu", ""); p.status != http.StatusNotFound {
		t.Errorf("after its removal: %s", p)
	}
	if state := h.property(t, "jupyter-alice.service", "ActiveState"); state != "active" {
		t.Errorf("her default server is %s", state)
	}
}

// board is a service: it answers with the request that it saw.
const board = `use IO::Socket::INET;
my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:9001", ReuseAddr => 1) or die;
while (my $c = $l->accept) {
    my $seen = "";
    while (<$c>) { last if /^\r?\n$/; $seen .= $_ }
    print $c "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nboard saw $seen";
    close $c;
}
`

// testService declares a service with pages and a token: the hub proxies the one, and the
// other may what its role says, from the host's loopback as well.
func testService(t *testing.T) {
	h := theHost(t)
	const token = "0123456789abcdef0123456789abcdef"
	h.put(t, "/etc/gifford-hub/secrets/service-board", "0600", token)
	h.put(t, "/srv/e2e-board.pl", "0755", board)
	h.run(t, "systemd-run", "--collect", "--unit=e2e-board.service", "--property=DynamicUser=yes", "/usr/bin/perl",
		"/srv/e2e-board.pl")
	eventually(t, "the service listens", 10*time.Second, func() bool {
		_, err := h.try(t.Context(), "curl", "-s", "http://127.0.0.1:9001/")
		return err == nil
	})
	t.Cleanup(func() {
		_, _ = h.try(noEnd(t), "systemctl", "stop", "e2e-board.service")
		_, _ = h.try(noEnd(t), "rm", "-f", "/etc/gifford-hub/secrets/service-board")
	})
	withSettings(t, h, "61-service.toml", `[services.board]
url = "http://127.0.0.1:9001"
unit = "e2e-board.service"
oauth = true
[roles.board]
scopes = ["list:users"]
services = ["board"]
`)
	v := newVisitor(t, h)
	p := v.get("/services/board/a%2Fb?x=1")
	if p.status != http.StatusOK || !strings.Contains(p.body, "board saw GET /services/board/a%2Fb?x=1 ") ||
		!strings.Contains(p.body, "X-Forwarded-Proto: https") {
		t.Errorf("the service's page: %s", p)
	}
	if p := v.get("/services/other/"); p.status != http.StatusNotFound {
		t.Errorf("a service that there is not: %s", p)
	}
	ask := func(path string) string {
		return h.run(t, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: token "+token,
			"http://127.0.0.1:8081/hub/api"+path)
	}
	for path, want := range map[string]string{"/users": "200", "/user": "200", "/info": "403",
		"/users/alice/tokens": "403"} {
		if got := ask(path); got != want {
			t.Errorf("the service's token at %s: %s, want %s", path, got, want)
		}
	}
	h.run(t, "systemctl", "stop", "e2e-board.service")
	if p := v.get("/services/board/"); p.status != http.StatusServiceUnavailable ||
		!strings.Contains(p.body, "e2e-board.service") {
		t.Errorf("while it is down: %s", p)
	}
}

// testBackupAndToken makes a copy of the database and a token as root.
func testBackupAndToken(t *testing.T) {
	h := theHost(t)
	member(t, h, "alice")
	const file = "/root/hub-backup.sqlite"
	h.run(t, "rm", "-f", file)
	h.run(t, "gifford-hub", "backup", file)
	if mode := strings.TrimSpace(h.run(t, "stat", "-c", "%a %U", file)); mode != "600 root" {
		t.Errorf("the back-up is %s", mode)
	}
	h.fails(t, "gifford-hub", "backup", file) // never over another
	token := strings.TrimSpace(h.run(t, "gifford-hub", "token", "alice", "--scopes", "read:users!user", "--expires",
		"1h"))
	if body := h.run(t, "curl", "-s", "-H", "Authorization: token "+token,
		"http://127.0.0.1:8081/hub/api/user"); !strings.Contains(body, `"name":"alice"`) {
		t.Errorf("the token is %s", body)
	}
	if out := h.fails(t, "gifford-hub", "token", "never-here"); !strings.Contains(out, "never-here") {
		t.Errorf("a token of nobody: %s", out)
	}
}
