package launcher

import (
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// TestGroups checks who may start a server when the policy names groups, and that no doubt about a group admits
// anybody.
func TestGroups(t *testing.T) {
	tests := map[string]struct {
		groups, user string
		code         launcherbus.Code // "" for a start that works
		words        string
		fails        bool
	}{
		"member":       {`"cgs"`, "alice", "", "", false},
		"not a member": {`"cgs"`, "carol", launcherbus.Refused, "not in the Unix group cgs", true},
		"unknown group": {`"nosuch"`, "alice", launcherbus.Refused,
			"the Unix group \"nosuch\", which this host", true},
		"unknown before a member": {`"nosuch", "cgs"`, "alice", launcherbus.Refused, "hint: getent group 'nosuch'",
			true},
		"member before unknown": {`"cgs", "nosuch"`, "alice", "", "", false},
		"away":                  {`"away"`, "alice", "", "secret detail", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.text = strings.Replace(h.text, `"cgs"`, tt.groups, 1)
			err := start(h, h.key(tt.user, ""))
			if (err != nil) != tt.fails || codeOf(err) != tt.code || err != nil &&
				!strings.Contains(hint.Text(err), tt.words) {
				t.Errorf("error is %v", err)
			}
			if tt.fails && len(h.units) != 0 {
				t.Errorf("units were started: %v", h.units)
			}
		})
	}
}

// TestNames checks that a request asks for each name once, and what is said of accounts that are gone.
func TestNames(t *testing.T) {
	h := newHost(t)
	n := h.l.names()
	alice, gone, away := h.key("alice", "").User, h.key("nosuch", "").User, h.key("away", "").User
	for range 3 {
		if in, err := n.inGroup(t.Context(), alice, "cgs"); err != nil || !in {
			t.Errorf("alice in cgs: %v, %v", in, err)
		}
		if in, err := n.inGroup(t.Context(), gone, "cgs"); err != nil || in {
			t.Errorf("an account that is gone: %v, %v", in, err)
		}
		if in, err := n.inGroup(t.Context(), away, "cgs"); err == nil || in {
			t.Errorf("an account that nobody knows about: %v, %v", in, err)
		}
		if _, err := n.account(t.Context(), gone); codeOf(err) != launcherbus.NoAccount {
			t.Errorf("the account that is gone: %v", err)
		}
	}
	if h.names != 4 {
		t.Errorf("%d questions for three accounts and a group", h.names)
	}
}
