//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// testRefusedAtTheDoor checks who may not enter: each gets a page with words, and
// nothing starts.
func testRefusedAtTheDoor(t *testing.T) {
	h := theHost(t)
	tests := map[string]struct{ account, want string }{
		"member of no allowed group": {"carol", "group"},
		"no Unix account":            {"mallory", "account"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			since := time.Now()
			v := newVisitor(t, h)
			p := v.signIn(tt.account)
			if p.status != http.StatusForbidden || !strings.Contains(p.body, tt.account) ||
				!strings.Contains(p.body, tt.want) {
				t.Errorf("want a 403 page that names %s and says %q, got %s", tt.account, tt.want, p)
			}
			if p := v.get("/hub/home"); p.url.Path != "/hub/login" {
				t.Errorf("a refused person is at %s", p.url)
			}
			if p := v.api("POST", "/users/"+tt.account+"/server", ""); p.status != http.StatusForbidden {
				t.Errorf("a refused person may start a server: %s", p)
			}
			if got := h.property(t, "jupyter-"+tt.account+".service", "LoadState"); got != "not-found" {
				t.Errorf("unit of %s is %s", tt.account, got)
			}
			if log := h.journal(t, "gifford-hub", since, "EVENT=login-refused"); !strings.Contains(log, tt.account) {
				t.Errorf("the journal does not tell of the refusal: %q", log)
			}
		})
	}
}

// testUserNameIsMapped signs haoyangz in, whom the settings call zeng, as the old set-up
// did. The host has no account zeng, so the words of the refusal name the mapped user.
func testUserNameIsMapped(t *testing.T) {
	v := newVisitor(t, theHost(t))
	if p := v.signIn("zeng-institute"); p.status != http.StatusForbidden || !strings.Contains(p.body, "zeng") ||
		strings.Contains(p.body, "haoyangz has no") {
		t.Errorf("want a refusal that names zeng: %s", p)
	}
}

// testNobodyIsAskedToSignIn checks what a browser without a session gets.
func testNobodyIsAskedToSignIn(t *testing.T) {
	v := newVisitor(t, theHost(t))
	for _, path := range []string{"/", "/hub/", "/hub/home", "/hub/spawn", "/user/alice/lab", "/hub/user/alice/"} {
		p := v.get(path)
		if p.status != http.StatusOK || p.url.Path != "/hub/login" {
			t.Errorf("%s leads to %s", path, p)
		}
	}
	if p := v.get("/hub/api/user"); p.status != http.StatusForbidden {
		t.Errorf("/hub/api/user: %s", p)
	}
}

// testLogoutEndsNotebookSession checks that signing out of the hub closes the notebook
// in that browser too, at once.
func testLogoutEndsNotebookSession(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab")
	if p := v.enter("alice"); p.status != http.StatusOK {
		t.Fatalf("JupyterLab: %s", p)
	}
	if p := v.jupyter("alice", "GET", "/api/status", ""); p.status != http.StatusOK {
		t.Fatalf("the notebook's API before logout: %s", p)
	}
	notebook := v.http.Jar.Cookies(v.get("/user/alice/api").url)
	k := v.newKernel("alice")
	v.get("/hub/logout")
	if err := k.closed(); err != nil {
		t.Errorf("the kernel's WebSocket after logout: %v", err)
	}
	if p := v.get("/hub/home"); p.url.Path != "/hub/login" {
		t.Errorf("after logout home is at %s", p.url)
	}
	if p := v.jupyter("alice", "GET", "/api/status", ""); p.status != http.StatusForbidden {
		t.Errorf("the notebook's API after logout: %s", p)
	}
	if len(notebook) == 0 {
		t.Error("the browser had no cookie of the notebook")
	}
	if got := h.property(t, "jupyter-alice.service", "ActiveState"); got != "active" {
		t.Errorf("logout made the server %s; it should run on", got)
	}
}

// testGroupIsCheckedAgain takes gail out of the group while she is signed in.
func testGroupIsCheckedAgain(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "gail")
	h.run(t, "gpasswd", "-d", "gail", "cgs")
	defer h.run(t, "gpasswd", "-a", "gail", "cgs")
	eventually(t, "gail's session ends after she lost the group", time.Minute, func() bool {
		return v.get("/hub/home").url.Path != "/hub/home"
	})
}

// testSessionsSurviveARestart restarts the hub under a session.
func testSessionsSurviveARestart(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "bob")
	h.run(t, "systemctl", "restart", "gifford-hub.service")
	if p := v.get("/hub/home"); p.status != http.StatusOK || p.url.Path != "/hub/home" {
		t.Errorf("after a restart: %s", p)
	}
}
