//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// whoIs asks the hub, as a script would, whose a token is, and returns the status of the answer.
func (h host) whoIs(t *testing.T, token string) string {
	t.Helper()
	return h.run(t, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: token "+token,
		"http://127.0.0.1:8081/hub/api/user")
}

// events returns the messages of a user's events in the hub's journal.
func (h host) events(t *testing.T, since time.Time, event, user string) string {
	t.Helper()
	return h.journal(t, "gifford-hub", since, "EVENT="+event, "JUPYTER_USER="+user)
}

// newToken makes a token for a script of the user's.
func (v *visitor) newToken(user string) string {
	v.t.Helper()
	p := v.api("POST", "/users/"+user+"/tokens", `{"note":"script"}`)
	var model struct{ Token string }
	if err := json.Unmarshal([]byte(p.body), &model); err != nil || model.Token == "" {
		v.t.Fatalf("no token: %v: %s", err, p)
	}
	return model.Token
}

// testLeaving takes gail out of the lab's group while a kernel of gail's runs, and back. The token and the WebSocket
// end at once, the server after the announced time, across a restart of the hub; the token works again when gail is
// back.
func testLeaving(t *testing.T) {
	h := theHost(t)
	withSettings(t, h, "96-leaving.toml", "[access]\nleaving = \"40s\"\n")
	since := time.Now()
	gail, dora := member(t, h, "gail"), member(t, h, "dora")
	gail.start("gail", "jupyterlab")
	defer dora.stop("gail")
	k := gail.newKernel("gail")
	token := gail.newToken("gail")
	if got := h.whoIs(t, token); got != "200" {
		t.Fatalf("the token is answered %s", got)
	}

	namesUnanswered(t, h, since)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, _, err := k.conn.Read(context.WithoutCancel(t.Context())); err != nil {
				ended <- err
				return
			}
		}
	}()
	h.run(t, "gpasswd", "-d", "gail", "cgs")
	defer h.run(t, "gpasswd", "-a", "gail", "cgs")
	eventually(t, "gail's token is suspended", time.Minute, func() bool { return h.whoIs(t, token) == "403" })
	if p := gail.get("/hub/home"); p.url.Path == "/hub/home" {
		t.Errorf("gail's session goes on: %s", p)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("gail's WebSocket does not end")
	}
	announcedAndRefused(t, h, dora)
	eventually(t, "gail's server is stopped", 2*time.Minute, func() bool { return dora.active("gail") == "inactive" })
	for _, event := range []string{"access-lost", "server-cull-notice", "server-culled"} {
		if h.events(t, since, event, "gail") == "" {
			t.Errorf("no %s in the journal:\n%s", event, h.journal(t, "gifford-hub", since))
		}
	}

	h.run(t, "gpasswd", "-a", "gail", "cgs")
	eventually(t, "gail's token works again", time.Minute, func() bool { return h.whoIs(t, token) == "200" })
	eventually(t, "the journal has access-back", time.Minute, func() bool {
		return h.events(t, since, "access-back", "gail") != ""
	})
}

// namesUnanswered takes the source of erin's account and group away until the hub has noticed, and checks that erin
// keeps session and token.
func namesUnanswered(t *testing.T, h host, since time.Time) {
	t.Helper()
	erin := member(t, h, "erin")
	token := erin.newToken("erin")
	const source = "/var/lib/extrausers"
	h.run(t, "mv", source, source+".away")
	back := func() { h.run(t, "mv", source+".away", source) }
	defer back()
	eventually(t, "the hub notices that the name service is away", time.Minute, func() bool {
		if got := h.whoIs(t, token); got != "200" {
			t.Fatalf("while the name service is away the token is answered %s", got)
		}
		return h.events(t, since, "recheck-failed", "erin") != ""
	})
	if p := erin.get("/hub/home"); p.url.Path != "/hub/home" {
		t.Errorf("while the name service is away the session ends: %s", p)
	}
	if log := h.events(t, since, "access-lost", "erin"); log != "" {
		t.Errorf("lost by silence: %s", log)
	}
}

// announcedAndRefused checks what an administrator sees of gail's server while it is about to end: the announced time,
// the same after a restart of the hub, and that nobody starts it.
func announcedAndRefused(t *testing.T, h host, dora *visitor) {
	t.Helper()
	var at time.Time
	eventually(t, "the end is announced", time.Minute, func() bool {
		end, reason := dora.announcedEnd("gail")
		at = end
		return reason == "access-lost"
	})
	if p := dora.get("/hub/admin?q=gail"); !strings.Contains(p.body, "no access") {
		t.Errorf("the page of users does not say that gail left: %s", p)
	}
	h.run(t, "systemctl", "restart", "gifford-hub.service")
	dora.http.CloseIdleConnections()
	eventually(t, "the end is announced after a restart, or over", time.Minute, func() bool {
		end, reason := dora.announcedEnd("gail")
		if reason == "access-lost" && end.Sub(at).Abs() > time.Second {
			t.Fatalf("announced for %s, before the restart for %s", end, at)
		}
		return reason == "access-lost" || dora.active("gail") == "inactive"
	})
	p := dora.api("POST", "/users/gail/server", "{}")
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "gail is in no group that may use this hub") {
		t.Errorf("started by an administrator: %s", p)
	}
	if out := h.fails(t, "gifford-hub", "servers", "start", "gail"); !strings.Contains(out, "gail is in no group") {
		t.Errorf("started by root: %s", out)
	}
}
