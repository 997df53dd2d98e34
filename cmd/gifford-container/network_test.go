package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAttach lets pasta fail at first, as it does while the container's process changes into its program. It also
// attaches to a container that has ended.
func TestAttach(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "pasta")
	script := "#!/bin/sh\n[ -e " + dir + "/second ] && exit 0\ntouch " + dir +
		"/second\necho \"Couldn't open network namespace\" >&2; exit 1\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := attach(t.Context(), program, os.Getpid(), nil); err != nil {
		t.Errorf("a failure that passes: %v", err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no such device >&2; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := attach(t.Context(), program, 1<<30, nil); err != nil {
		t.Errorf("a container that is gone: %v", err)
	}
	if err := attach(t.Context(), program, os.Getpid(), nil); err == nil ||
		!strings.Contains(err.Error(), "no such device") {
		t.Errorf("a failure that stays: %v", err)
	}
}
