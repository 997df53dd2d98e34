package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

func goodResult(ended time.Time) string {
	return fmt.Sprintf(`{"ended":%d,"storage":{"bytes":1,"files":2,"unread":3},`+
		`"home":{"bytes":4,"files":5,"unread":6}}`, ended.Unix())
}

// TestDiskUse asks, starts a measurement, asks while it runs, and reads its result.
func TestDiskUse(t *testing.T) {
	h := newHost(t)
	h.writeEtc("subuid", "alice:70000:10\nbob:80000:10\n")
	h.writeEtc("subgid", "alice:90000:10\n")
	alice := h.key("alice", "").User
	ask := func(measure bool) launcherbus.DiskUse {
		t.Helper()
		u, err := h.l.DiskUse(t.Context(), alice, measure)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if u := ask(false); u.Measuring || !u.Measured.IsZero() || len(h.units) != 0 || u.HomePath != h.dir+
		"/cluster/alice" {
		t.Errorf("a question alone returns %+v, units %v", u, h.units)
	}
	if u := ask(true); !u.Measuring || h.units[unit.DiskUseUnit(alice)] != systemd.Activating {
		t.Errorf("asked to measure: %+v, units %v", u, h.units)
	}
	if u := ask(true); !u.Measuring || len(h.units) != 1 {
		t.Errorf("asked to measure again: %+v, units %v", u, h.units)
	}
	ended := time.Now().Add(-time.Minute).Truncate(time.Second)
	h.leave(t, goodResult(ended))
	want := launcherbus.DiskUse{Measuring: true, Measured: ended,
		Storage: launcherbus.Tree{Bytes: 1, Files: 2, Unread: 3},
		Home:    launcherbus.Tree{Bytes: 4, Files: 5, Unread: 6}, HomePath: h.dir + "/cluster/alice"}
	if diff := cmp.Diff(want, ask(false)); diff != "" {
		t.Error(diff)
	}
	delete(h.units, unit.DiskUseUnit(alice))
	if u := ask(false); u.Measuring {
		t.Error("it is measuring though the unit has ended")
	}
}

func (h *host) writeEtc(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "etc", name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// usageFile is where alice's unit leaves its result.
func (h *host) usageFile() string {
	return filepath.Join(h.dir, "state/users/alice", contract.DiskUseName)
}

func (h *host) leave(t *testing.T, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(h.usageFile(), []byte(text), 0o600),
		os.Lchown(h.usageFile(), int(h.uid), -1)); err != nil {
		t.Fatal(err)
	}
}

// TestHostileUsage leaves what a member could instead of a result. Nothing of it may be
// told, hang the launcher or lead it elsewhere.
func TestHostileUsage(t *testing.T) {
	good := goodResult(time.Now().Add(-time.Minute))
	tests := map[string]func(t *testing.T, h *host) error{
		"empty":       func(t *testing.T, h *host) error { h.leave(t, ""); return nil },
		"no JSON":     func(t *testing.T, h *host) error { h.leave(t, "root:*:1:"); return nil },
		"two results": func(t *testing.T, h *host) error { h.leave(t, good+good); return nil },
		"unknown key": func(t *testing.T, h *host) error {
			h.leave(t,
				strings.Replace(good, "ended", "ENDEDx", 1))
			return nil
		},
		"negative": func(t *testing.T, h *host) error {
			h.leave(t,
				strings.Replace(good, ":4", ":-4", 1))
			return nil
		},
		"no number": func(t *testing.T, h *host) error {
			h.leave(t,
				strings.Replace(good, ":4", `:"<b>"`, 1))
			return nil
		},
		"fraction": func(t *testing.T, h *host) error {
			h.leave(t,
				strings.Replace(good, ":4", ":4.5", 1))
			return nil
		},
		"overflow": func(t *testing.T, h *host) error {
			h.leave(t,
				strings.Replace(good, ":4", ":9e18", 1))
			return nil
		},
		"beyond a disk": func(t *testing.T, h *host) error {
			h.leave(t, strings.Replace(good, ":4", ":2000000000000000000", 1))
			return nil
		},
		"in the future": func(t *testing.T, h *host) error {
			h.leave(t,
				goodResult(time.Now().Add(time.Hour)))
			return nil
		},
		"large": func(t *testing.T, h *host) error { h.leave(t, strings.Repeat(" ", 5000)+good); return nil },
		"sparse": func(t *testing.T, h *host) error {
			h.leave(t, good)
			return os.Truncate(h.usageFile(),
				1<<40)
		},
		"nested":         func(t *testing.T, h *host) error { h.leave(t, strings.Repeat("[", 4000)); return nil },
		"pipe":           func(t *testing.T, h *host) error { return unix.Mkfifo(h.usageFile(), 0o600) },
		"directory":      func(t *testing.T, h *host) error { return os.Mkdir(h.usageFile(), 0o700) },
		"device":         func(t *testing.T, h *host) error { return os.Symlink("/dev/zero", h.usageFile()) },
		"link":           func(t *testing.T, h *host) error { return os.Symlink("real", h.usageFile()) },
		"link outside":   func(t *testing.T, h *host) error { return os.Symlink("/etc/passwd", h.usageFile()) },
		"link to others": func(t *testing.T, h *host) error { return os.Symlink("../bob/usage.json", h.usageFile()) },
		"another's file": func(t *testing.T, h *host) error {
			h.leave(t, good)
			if os.Getuid() != 0 {
				return os.Remove(h.usageFile()) // only root can give a file away
			}
			return os.Lchown(h.usageFile(), int(h.uid)+1, -1)
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			for _, user := range []string{"alice", "bob"} {
				dir := filepath.Join(h.dir, "state/users", user)
				if err := errors.Join(os.MkdirAll(dir, 0o700),
					os.WriteFile(filepath.Join(dir, "real"), []byte(good), 0o600),
					os.WriteFile(filepath.Join(dir, "usage.json"), []byte(good), 0o600),
					os.Chown(filepath.Join(dir, "real"), int(h.uid), -1),
					os.Chown(filepath.Join(dir, "usage.json"), int(h.uid), -1)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Remove(h.usageFile()), do(t, h)); err != nil {
				t.Fatal(err)
			}
			u, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, false)
			if err != nil || !u.Measured.IsZero() || u.Home.Bytes != 0 {
				t.Errorf("got %+v, %v", u, err)
			}
		})
	}
}

// TestDiskUseRefused checks for whom nothing is measured.
func TestDiskUseRefused(t *testing.T) {
	h := newHost(t)
	methods := h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) { return hubUID, nil })
	for user, code := range map[string]launcherbus.Code{"": launcherbus.Refused, "../bob": launcherbus.Refused,
		"-x":   launcherbus.Refused,
		"root": launcherbus.Refused, "nosuch": launcherbus.NoAccount, "carol": launcherbus.Refused,
		"away": launcherbus.Internal} {
		err := call(t, methods["DiskUse"], user, true)
		if err == nil || err.Name != launcherbus.Interface+".Error."+string(code) {
			t.Errorf("%q: answer is %v, want %s", user, err, code)
		}
	}
	if len(h.units) != 0 || leftIn(t, h.dir) != "" {
		t.Errorf("units were started: %v", h.units)
	}
}
