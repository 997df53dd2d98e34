//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// testAudit has an administrator act, and the journal lose what it had of it. The file has it.
func testAudit(t *testing.T) {
	h := theHost(t)
	const file = "/var/log/gifford-hub/audit.log"
	since := time.Now()
	dora := member(t, h, "dora")
	if p := dora.api("POST", "/users/zoe", ""); p.status != http.StatusCreated {
		t.Fatalf("dora adds a user: %s", p)
	}
	if p := dora.api("DELETE", "/users/zoe", ""); p.status != http.StatusNoContent {
		t.Fatalf("dora deletes a user: %s", p)
	}
	if log := h.journal(t, "gifford-hub", since, "EVENT=user-deleted"); !strings.Contains(log,
		"administrative action") {
		t.Errorf("the journal has:\n%s", log)
	}
	h.run(t, "sh", "-ec", "journalctl --rotate; journalctl --vacuum-time=1s; sleep 1; journalctl --vacuum-time=1s")
	if log := h.journal(t, "gifford-hub", since, "EVENT=user-deleted"); strings.Contains(log, "administrative action") {
		t.Fatalf("the journal has lost nothing:\n%s", log)
	}
	records := h.run(t, "cat", file)
	for _, want := range []string{`"event":"user-created","by":"dora","by_kind":"user","outcome":"done"`,
		`"event":"user-deleted","by":"dora"`, `"event":"login"`} {
		if !strings.Contains(records, want) {
			t.Errorf("%s is not in the file:\n%s", want, records)
		}
	}
	if out := h.fails(t, "runuser", "-u", "bob", "--", "cat", file); !strings.Contains(out, "denied") {
		t.Errorf("bob reads the file: %s", out)
	}

	alice := member(t, h, "alice")
	alice.start("alice", "jupyterlab")
	defer alice.stop("alice")
	if got := h.run(t, "systemctl", "show", "-p", "LogRateLimitBurst,LogRateLimitIntervalUSec",
		"jupyter-alice"); !strings.Contains(got, "Burst=500") || !strings.Contains(got, "USec=1min") {
		t.Errorf("what the unit may write: %s", got)
	}
}
