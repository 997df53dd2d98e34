package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/google/go-cmp/cmp"
)

var (
	_ scs.CtxStore         = (*Sessions)(nil)
	_ scs.IterableCtxStore = (*Sessions)(nil)
)

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openTest(t *testing.T) (*Store, *clock) {
	t.Helper()
	c := newClock()
	return openAt(t, filepath.Join(t.TempDir(), "hub.sqlite"), c), c
}

func openAt(t *testing.T, path string, c *clock) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: path, Log: quiet(), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func user(t *testing.T, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// same compares values that hold names.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.AllowUnexported(ident.User{}, ident.Server{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space?#%.sqlite")
	c := newClock()
	s := openAt(t, path, c)
	ok(t, s.UpsertUser(t.Context(), User{Name: user(t, "alice")}))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		ok(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %q is %v; want 0600", suffix, info.Mode().Perm())
		}
	}
	var mode string
	ok(t, s.db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode))
	if mode != "wal" {
		t.Errorf("journal mode %q; want wal", mode)
	}
}

func TestOpenTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.sqlite")
	c := newClock()
	var wg sync.WaitGroup
	for range 8 { // all of them see an empty directory
		wg.Go(func() {
			s, err := Open(context.WithoutCancel(t.Context()), Config{Path: path, Log: quiet(), Now: c.now})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(s.UpsertUser(t.Context(), User{Name: user(t, "alice")}), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	a, b := openAt(t, path, c), openAt(t, path, c)
	ok(t, a.UpsertUser(t.Context(), User{Name: user(t, "bob"), DisplayName: "Bob"}))
	got, err := b.UserByName(t.Context(), user(t, "bob"))
	ok(t, err)
	same(t, "user", User{Name: user(t, "bob"), DisplayName: "Bob", Created: c.now()}, got)
	k1, err := a.SecretKey(t.Context(), "k")
	ok(t, err)
	k2, err := b.SecretKey(t.Context(), "k")
	ok(t, err)
	if !bytes.Equal(k1, k2) || len(k1) != 32 {
		t.Errorf("keys %x and %x; want the same 32 bytes", k1, k2)
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, path string)
		words []string
	}{
		"not a database": {func(t *testing.T, path string) {
			ok(t, os.WriteFile(path, bytes.Repeat([]byte("hello, I am a text\n"), 300), 0o600))
		}, []string{"not a database", "backup"}},
		"damaged": {func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			ok(t, err)
			for i := 4096; i < len(b); i++ {
				b[i] = 0xa5
			}
			ok(t, os.WriteFile(path, b, 0o600))
		}, []string{"damaged", "backup"}},
		"cut short": {func(t *testing.T, path string) { ok(t, os.Truncate(path, 5000)) },
			[]string{"damaged", "backup"}},
		"newer version": {func(t *testing.T, path string) {
			execRaw(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		}, []string{"newer gifford-hub", "schema 999", "install"}},
		"another program's": {func(t *testing.T, path string) {
			ok(t, os.Remove(path))
			execRaw(t, path, `CREATE TABLE spawners (id INTEGER)`)
		}, []string{"another program", "path"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hub.sqlite")
			s, err := Open(t.Context(), Config{Path: path, Log: quiet()})
			ok(t, err)
			ok(t, s.Close())
			tt.spoil(t, path)
			before := fileSum(t, path)
			s, err = Open(t.Context(), Config{Path: path, Log: quiet()})
			if err == nil {
				_ = s.Close()
				t.Fatal("Open took the file")
			}
			for _, w := range append(tt.words, path) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q lacks %q", err, w)
				}
			}
			if fileSum(t, path) != before {
				t.Error("Open changed the file")
			}
		})
	}
}

func TestOpenAfterInterruptedStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.sqlite")
	ok(t, os.WriteFile(path, nil, 0o644))
	s := openAt(t, path, newClock())
	ok(t, s.Ping(t.Context()))
	info, err := os.Stat(path)
	ok(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v; want 0600", info.Mode().Perm())
	}
}

func execRaw(t *testing.T, path, query string) {
	t.Helper()
	db, err := openDB(path, "")
	ok(t, err)
	_, err = db.ExecContext(t.Context(), query)
	ok(t, errors.Join(err, db.Close()))
}

func fileSum(t *testing.T, path string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return sha256.Sum256(b)
}

func TestBackup(t *testing.T) {
	s, c := openTest(t)
	ok(t, s.UpsertUser(t.Context(), User{Name: user(t, "alice")}))
	dest := filepath.Join(t.TempDir(), "copy.sqlite")
	ok(t, s.Backup(t.Context(), dest))
	info, err := os.Stat(dest)
	ok(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v; want 0600", info.Mode().Perm())
	}
	if err := s.Backup(t.Context(), dest); err == nil {
		t.Error("Backup overwrote a file")
	}
	_, err = openAt(t, dest, c).UserByName(t.Context(), user(t, "alice"))
	ok(t, err)
}
