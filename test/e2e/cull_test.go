//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// culling turns culling on with short times, until the test ends.
func culling(t *testing.T, h host) (off func()) {
	t.Helper()
	const path = "/etc/gifford-hub/hub.d/97-cull.toml"
	h.run(t, "install", "-d", "-m", "0755", "/etc/gifford-hub/hub.d")
	h.put(t, path, "0644", "[cull]\nenabled = true\nidle = \"20s\"\nevery = \"1s\"\nnotice = \"5s\"\n")
	h.run(t, "systemctl", "restart", "gifford-hub.service")
	return func() {
		h.run(t, "rm", "-f", path)
		h.run(t, "systemctl", "restart", "gifford-hub.service")
	}
}

// announcedEnd returns the end in the model of the user's server, zero for none.
func (v *visitor) announcedEnd(user string) (at time.Time, reason string) {
	v.t.Helper()
	p := v.api("GET", "/users/"+user, "")
	var model struct {
		Servers map[string]struct {
			Cull struct {
				At     time.Time
				Reason string
			}
		}
	}
	if err := json.Unmarshal([]byte(p.body), &model); err != nil {
		v.t.Fatalf("model of %s: %v: %s", user, err, p)
	}
	end := model.Servers[""].Cull
	return end.At, end.Reason
}

// active returns the state of the user's unit.
func (v *visitor) active(user string) string {
	v.t.Helper()
	return v.host.property(v.t, "jupyter-"+user+".service", "ActiveState")
}

// state returns the kernel's state as its server reports it.
func (k *kernel) state() string {
	k.v.t.Helper()
	p := k.v.jupyter(k.user, "GET", "/api/kernels/"+k.id, "")
	var model struct {
		State string `json:"execution_state"`
	}
	if err := json.Unmarshal([]byte(p.body), &model); err != nil {
		k.v.t.Fatalf("model of %s's kernel: %v: %s", k.user, err, p)
	}
	return model.State
}

// testCull checks that an idle server is announced, postponed by its owner, announced
// again and stopped, while servers whose kernels work in silence stay.
func testCull(t *testing.T) {
	h := theHost(t)
	idle, spins, sleeps := member(t, h, "alice"), member(t, h, "bob"), member(t, h, "dora")
	cells := map[string]string{"bob": "while True: pass", "dora": "import time; time.sleep(600)"}
	for user, v := range map[string]*visitor{"bob": spins, "dora": sleeps} {
		v.start(user, "jupyterlab")
		defer v.stop(user)
		k := v.newKernel(user)
		// jupyter_server knows of the kernel's state once it has seen a cell end.
		eventually(t, user+"'s kernel is idle", time.Minute, func() bool { k.exec("1"); return k.state() == "idle" })
		k.send("silent", cells[user])
		eventually(t, user+"'s kernel is busy", time.Minute, func() bool { return k.state() == "busy" })
		_ = k.conn.CloseNow() // nobody looks on
		k.connect()           // and somebody comes back, and goes again
		_ = k.conn.CloseNow()
	}
	idle.start("alice", "jupyterlab")
	since := time.Now()
	defer culling(t, h)()
	for _, v := range []*visitor{idle, spins, sleeps} {
		v.http.CloseIdleConnections() // they ended with the hub
	}
	busySince := time.Now()

	announced := func() bool { at, reason := idle.announcedEnd("alice"); return !at.IsZero() && reason == "idle" }
	eventually(t, "alice's server is announced", time.Minute, announced)
	home := idle.get("/hub/home")
	if !strings.Contains(home.body, "will be stopped at") {
		t.Errorf("the home page does not tell of the end: %s", home)
	}
	if p := idle.press(home, "/hub/keep/alice"); p.status != http.StatusOK ||
		strings.Contains(p.body, "will be stopped at") {
		t.Errorf("after Keep: %s", p)
	}
	kept := time.Now()
	eventually(t, "alice's server is announced again", time.Minute, announced)
	if time.Since(kept) < 13*time.Second {
		t.Errorf("announced %v after Keep, want 15 s", time.Since(kept))
	}
	eventually(t, "alice's server is stopped", time.Minute, func() bool { return idle.active("alice") == "inactive" })
	if d := time.Since(kept); d < 19*time.Second {
		t.Errorf("stopped %v after Keep, want 20 s", d)
	}
	if log := h.journal(t, "gifford-hub", since); !strings.Contains(log, "a server will be stopped") ||
		!strings.Contains(log, "stopped a server") {
		t.Errorf("the journal does not tell of it:\n%s", log)
	}

	time.Sleep(time.Until(busySince.Add(60 * time.Second))) // three times the idle time
	for user, v := range map[string]*visitor{"bob": spins, "dora": sleeps} {
		if state := v.active(user); state != "active" {
			t.Errorf("%s's server, whose kernel runs %q, is %s:\n%s", user, cells[user], state,
				h.journal(t, "gifford-hub", since))
		}
	}
}
