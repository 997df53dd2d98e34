package gpuwatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRunTool runs real programs.
func TestRunTool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	script := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("good", `echo "$1"`)
	script("bad", "echo 'NVIDIA-SMI has failed\nbecause it could not' >&2; exit 9")
	script("hangs", "sleep 600 & wait")
	script("endless", "yes")
	if out, err := new(runner).run(t.Context(), "good", "hello"); err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := new(runner).run(t.Context(), "no-such-tool"); !errors.Is(err, ErrNoTool) {
		t.Errorf("no tool: %v", err)
	}
	if _, err := new(runner).run(t.Context(), "bad"); err == nil ||
		!strings.Contains(err.Error(), "NVIDIA-SMI has failed because it could not") {
		t.Errorf("a tool that fails: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := new(runner).run(ctx, "hangs"); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("a tool that hangs: %v", err)
	}
	began := time.Now()
	if _, err := new(runner).run(t.Context(), "endless"); err == nil || !strings.Contains(err.Error(), "more than") ||
		time.Since(began) > toolTime/2 {
		t.Errorf("endless output, after %s: %v", time.Since(began), err)
	}
	script("partly", "echo '<?xml?><some/>'; echo 'GPU is lost' >&2; exit 15")
	if out, err := new(runner).run(t.Context(), "partly"); string(out) != "<?xml?><some/>\n" || err == nil ||
		!strings.Contains(err.Error(), "GPU is lost") || strings.Contains(err.Error(), "some") {
		t.Errorf("a tool that reports a part: %q, %v", out, err)
	}
	// One that cannot be killed is not started again.
	r := &runner{busy: map[string]bool{"good": true}}
	if _, err := r.run(t.Context(), "good"); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("a second time: %v", err)
	}
	r.end("good")
	if _, err := r.run(t.Context(), "good"); err != nil || len(r.busy) != 0 {
		t.Errorf("when it has ended: %v, %v", err, r.busy)
	}
}
