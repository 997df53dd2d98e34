package unitlog

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// command returns a Reader whose journalctl is the shell script. The real one is tested
// end to end.
func command(t *testing.T, script string) Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journalctl")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Reader{Command: path}
}

func TestTail(t *testing.T) {
	r := command(t, `printf 'first\n\033[31mred\033[0m\nlast\377\n'`)
	lines, err := r.Tail(t.Context(), "jupyter-alice.service", time.Unix(1700000000, 0), 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first", "red", "last\uFFFD"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestTailIsTheEnd checks that Tail returns the newest lines, also of a long log.
func TestTailIsTheEnd(t *testing.T) {
	lines, err := command(t, `seq 1 20000`).Tail(t.Context(), "jupyter-alice.service", time.Unix(1700000000, 0), 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"19998", "19999", "20000"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestTailAsksForTheUnit(t *testing.T) {
	r := command(t, `echo "$@"`)
	lines, err := r.Tail(t.Context(), "jupyter-alice.service", time.Unix(1700000000, 0), 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--quiet --no-pager --output=cat --all --unit=jupyter-alice.service --since=@1700000000.000000"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestTailSaysWhatFailed(t *testing.T) {
	_, err := command(t, "echo 'No journal files were opened' >&2; exit 1").Tail(t.Context(), "jupyter-alice.service",
		time.Now(), 3)
	if err == nil || !strings.Contains(err.Error(), "jupyter-alice.service") ||
		!strings.Contains(err.Error(), "No journal files") {
		t.Errorf("the error is %v", err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	err := command(t, "echo one; echo two; exec sleep 100").Follow(ctx, "jupyter-alice.service", time.Now(),
		func(line string) {
			got = append(got, line)
			if line == "two" {
				cancel()
			}
		})
	if err != nil {
		t.Errorf("Follow: %v", err)
	}
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestFollowTellsOfAnEnd(t *testing.T) {
	if err := command(t, "exit 1").Follow(t.Context(), "jupyter-alice.service", time.Now(),
		func(string) {}); err == nil {
		t.Error("a journalctl that fails gave no error")
	}
}

// TestHarmlessLines checks that no line carries a control sequence to a page or terminal, or is endless.
func TestHarmlessLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for printed, want := range map[string]string{
		`\t\033[31mred\033[0m  \342\200\256x\r`: "\tred  x",
		long + "xx":                             long[:maxLine-1] + "…",
	} {
		lines, err := command(t, "printf '"+printed+"'").Tail(t.Context(), "jupyter-alice.service", time.Now(), 9)
		if err != nil || len(lines) != 1 || lines[0] != want {
			t.Errorf("%.40q came as %.80q, %v; want %.40q", printed, lines, err, want)
		}
	}
}
