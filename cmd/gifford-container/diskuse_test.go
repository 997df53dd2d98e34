package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// tree makes a directory with a file of 1 MiB that has two names, one with a hole of 1 GiB, a
// link to a directory outside and a directory in a directory.
func tree(t *testing.T) string {
	t.Helper()
	dir, outside := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	sparse, err := os.Create(at("sparse"))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		sparse.Truncate(1<<30), sparse.Close(),
		os.WriteFile(at("full"), make([]byte, 1<<20), 0o600), os.Link(at("full"), at("again")),
		os.WriteFile(filepath.Join(outside, "big"), make([]byte, 8<<20), 0o600), os.Symlink(outside, at("link")),
		os.MkdirAll(at("a/b"), 0o700), os.WriteFile(at("a/b/c"), make([]byte, 2<<20), 0o600),
		unix.Mkfifo(at("fifo"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMeasureTree(t *testing.T) {
	got, err := measureTree(t.Context(), tree(t))
	if err != nil {
		t.Fatal(err)
	}
	// The directory, sparse, full, link, a, b, c, fifo. The second name of full does not count again.
	if got.Files != 8 || got.Unread != 0 || got.Bytes < 3<<20 || got.Bytes > 4<<20 {
		t.Errorf("got %+v, want 8 files of a little more than 3 MiB", got)
	}
	for name, tt := range map[string]struct {
		root   string
		unread int64
	}{"missing": {"/no/such", 0}, "file": {"/etc/passwd", 1}, "link": {filepath.Join(tree(t), "link"), 1}} {
		if got, err := measureTree(t.Context(), tt.root); err != nil || got != (contract.Tree{Unread: tt.unread}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measureTree(ctx, tree(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("a walk that was ended says %v", err)
	}
	result := filepath.Join(t.TempDir(), "usage.json")
	if err := diskUse(ctx, []string{"--result", result, "--storage", tree(t), "--home", "/no/such"}); err == nil ||
		!strings.HasPrefix(hint.Of(err), "usage_time") {
		t.Errorf("told %v", err)
	}
	if _, err := os.Stat(result); err == nil {
		t.Error("half a walk leaves a result")
	}
}

// TestDiskUseMode checks that the launcher accepts the result, and how the arguments are checked.
func TestDiskUseMode(t *testing.T) {
	dir := tree(t)
	result := filepath.Join(t.TempDir(), "usage.json")
	if err := diskUse(t.Context(), []string{"--result", result, "--storage", dir, "--home",
		filepath.Join(dir, "a")}); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(result)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	u, err := contract.ReadDiskUse(file, time.Now())
	if err != nil || u.Storage.Files != 8 || u.Home.Files != 3 || u.Home.Bytes < 2<<20 {
		t.Errorf("got %+v, %v", u, err)
	}
	for name, args := range map[string][]string{
		"nothing": {}, "no home": {"--result", "x", "--storage", "y"},
		"range": {"--result", "x", "--storage", "y", "--home", "z", "--uids", "-1:5"},
		"more":  {"--result", "x", "--storage", "y", "--home", "z", "w"},
	} {
		var failed *failure
		if err := diskUse(t.Context(), args); !errors.As(err, &failed) || failed.status != contract.ExitUsage {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
