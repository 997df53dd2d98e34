//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// host is the throwaway host that test/e2e/run has booted and provisioned.
type host struct {
	name string // as test/lab/lab knows it
	lab  string // path of test/lab/lab
	ip   string
}

// theHost reads what test/e2e/run says of the host.
func theHost(t *testing.T) host {
	t.Helper()
	h := host{os.Getenv("GIFFORD_LAB"), os.Getenv("GIFFORD_LAB_COMMAND"), os.Getenv("GIFFORD_LAB_IP")}
	if h.name == "" || h.lab == "" || h.ip == "" {
		t.Fatal("there is no host to test: run test/e2e/run, which boots one")
	}
	return h
}

// try runs a command on the host as root and returns what it wrote to both outputs.
func (h host) try(ctx context.Context, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.lab, append([]string{"enter", h.name, "--"}, command...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// run is try for commands that must succeed.
func (h host) run(t *testing.T, command ...string) string {
	t.Helper()
	out, err := h.try(t.Context(), command...)
	if err != nil {
		t.Fatalf("on the host, %s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return out
}

// fails is try for commands that must be refused.
func (h host) fails(t *testing.T, command ...string) string {
	t.Helper()
	out, err := h.try(t.Context(), command...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("on the host, %s: %v, want it to fail\n%s", strings.Join(command, " "), err, out)
	}
	return out
}

// sh runs a shell script on the host as a user.
func (h host) sh(t *testing.T, user, script string) string {
	t.Helper()
	return h.run(t, "runuser", "-u", user, "--", "sh", "-ec", script)
}

// noEnd is a context for cleaning up, when the test's own has ended.
func noEnd(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

// put writes a file on the host.
func (h host) put(t *testing.T, path, mode, content string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), h.lab, "enter", h.name, "--", "sh", "-ec",
		`umask 077; cat >"$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"`, "put", path, mode)
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("write %s on the host: %v\n%s", path, err, out)
	}
}

// journal returns a unit's messages since a time, with the given extra arguments.
func (h host) journal(t *testing.T, unit string, since time.Time, extra ...string) string {
	t.Helper()
	return h.run(t, append([]string{"journalctl", "--no-pager", "-q", "-o", "cat", "-u", unit,
		fmt.Sprintf("--since=@%d", since.Unix())}, extra...)...)
}

// property returns a unit's property.
func (h host) property(t *testing.T, unit, name string) string {
	t.Helper()
	return strings.TrimSpace(h.run(t, "systemctl", "show", "--value", "-p", name, unit))
}

// eventually waits until cond is true. It waits for a condition, never for luck: the
// bound only ends a test that has failed.
func eventually(t *testing.T, what string, bound time.Duration, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > bound {
			t.Fatalf("after %s still not so: %s", bound, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(start)
}
