package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// TestRetry lets pasta fail at first, as it does while the container's process changes into its program. It also
// attaches to a container that has ended.
func TestRetry(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "pasta")
	script := "#!/bin/sh\n[ -e " + dir + "/second ] && exit 0\ntouch " + dir +
		"/second\necho \"Couldn't open network namespace\" >&2; exit 1\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	attach := func(pid int) error {
		return retry(t.Context(), pid, func() error { return runQuiet(t.Context(), program, nil) })
	}
	if err := attach(os.Getpid()); err != nil {
		t.Errorf("a failure that passes: %v", err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no such device >&2; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := attach(1 << 30); err == nil {
		t.Error("a container that is gone: no error")
	}
	if err := attach(os.Getpid()); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("a failure that stays: %v", err)
	}
}

// TestNetworkArgs checks what is refused before anything is done, and a container without a file of its process.
func TestNetworkArgs(t *testing.T) {
	dir := t.TempDir()
	none, ended := filepath.Join(dir, "none"), filepath.Join(dir, "ended")
	child := exec.Command("/bin/true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ended, []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args         []string
		status       int // 0 for success
		text, reason string
	}{
		"no file":        {[]string{"--port", "8081"}, contract.ExitUsage, "arguments of network", ""},
		"no port":        {[]string{"--pidfile", none}, contract.ExitUsage, "arguments of network", ""},
		"port too large": {[]string{"--pidfile", none, "--port", "65536"}, contract.ExitUsage, "arguments", ""},
		"more":           {[]string{"--pidfile", none, "--port", "1", "x"}, contract.ExitUsage, "arguments", ""},
		"no process":     {[]string{"--pidfile", none, "--port", "1"}, contract.ExitNetwork, "no process", ""},
		"made before":    {[]string{"--pidfile", none, "--port", "1", "--persistent"}, 0, "", ""},
		"made before and to be closed": {[]string{"--pidfile", none, "--port", "1", "--persistent", "--isolated"},
			contract.ExitNetwork, "cannot be isolated", "reset"},
		"ended": {[]string{"--pidfile", ended, "--port", "1"}, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := network(t.Context(), tt.args)
			var failed *failure
			if tt.status == 0 && err != nil || tt.status != 0 && (!errors.As(err, &failed) ||
				failed.status != tt.status || !strings.Contains(err.Error(), tt.text) ||
				!strings.Contains(hint.Of(err), tt.reason)) {
				t.Errorf("got %v, hint %q", err, hint.Of(err))
			}
		})
	}
}
