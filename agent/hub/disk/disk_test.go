package disk

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func user(t *testing.T, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// fakeLauncher takes ten seconds for a measurement. It reports when two overlap.
type fakeLauncher struct {
	mu       sync.Mutex
	running  map[string]time.Time
	done     map[string]backend.DiskUse
	started  []string
	overlap  bool
	fruitful bool // whether a measurement leaves a result
}

func (f *fakeLauncher) DiskUse(_ context.Context, u ident.User, measure bool) (backend.DiskUse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := u.String()
	if name == "gone" {
		return backend.DiskUse{}, errors.New("no account")
	}
	for other, at := range f.running {
		if time.Since(at) >= 10*time.Second {
			delete(f.running, other)
			if f.fruitful {
				f.done[other] = backend.DiskUse{Measured: time.Now(),
					Home: backend.Tree{Bytes: int64(len(f.started))}}
			}
		}
	}
	if measure {
		f.overlap = f.overlap || len(f.running) > 0
		f.running[name] = time.Now()
		f.started = append(f.started, name)
	}
	answer := f.done[name]
	answer.HomePath = "/homes/" + name
	_, answer.Measuring = f.running[name]
	return answer, nil
}

func watch(t *testing.T, f *fakeLauncher, c Config) *Watch {
	t.Helper()
	users := func(context.Context) ([]ident.User, error) {
		return []ident.User{user(t, "alice"), user(t, "gone"), user(t, "bob")}, nil
	}
	c.Backend, c.Users = f, users
	c.Recent = func(ctx context.Context, _ time.Time) ([]ident.User, error) { return users(ctx) }
	if c.Statfs == nil {
		c.Statfs = func(string) (FileSystem, error) { return FileSystem{1, 50, 100}, nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newLauncher(fruitful bool) *fakeLauncher {
	return &fakeLauncher{running: map[string]time.Time{}, done: map[string]backend.DiskUse{}, fruitful: fruitful}
}

// TestRounds simulates days: everybody is measured once a day, one at a time.
func TestRounds(t *testing.T) {
	tests := map[string]struct {
		refresh  time.Duration
		fruitful bool
		want     int // measurements of alice and bob in 50 hours
	}{
		"daily": {24 * time.Hour, true, 6}, "never": {0, true, 0}, "without a result": {24 * time.Hour, false, 100},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newLauncher(tt.fruitful)
				w := watch(t, f, Config{Refresh: tt.refresh})
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Hour)
				defer cancel()
				w.Run(ctx)
				n := len(f.started)
				if f.overlap || n < tt.want-4 || n > tt.want+4 || (n == 0) != (tt.want == 0) {
					t.Errorf("%d measurings, at once: %v", n, f.overlap)
				}
				if _, ok := w.Of(user(t, "alice")); ok != (tt.fruitful && tt.refresh > 0) {
					t.Errorf("alice's numbers are there: %v", ok)
				}
			})
		})
	}
}

// TestMeasure has two users measured at the same time, who wait for each other.
func TestMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLauncher(true)
		w := watch(t, f, Config{})
		var all sync.WaitGroup
		for _, name := range []string{"alice", "bob"} {
			all.Go(func() {
				if u, err := w.Measure(t.Context(), user(t, name)); err != nil || u.Measured.IsZero() {
					t.Errorf("%s: %+v, %v", name, u, err)
				}
			})
		}
		all.Wait()
		if f.overlap || len(w.Users()) != 2 {
			t.Errorf("at once: %v; known: %v", f.overlap, w.Users())
		}
		if _, err := w.Measure(t.Context(), user(t, "gone")); err == nil {
			t.Error("who has no account was measured")
		}
		f.fruitful = false
		time.Sleep(time.Minute)
		if _, err := w.Measure(t.Context(), user(t, "alice")); !errors.Is(err, ErrNoResult) {
			t.Errorf("a measuring without a result gives %v", err)
		}
	})
}

func TestThreshold(t *testing.T) {
	tests := map[string]struct {
		t           Threshold
		free, total int64
		want        bool
	}{
		"none": {Threshold{}, 0, 100, false}, "percent": {Threshold{Percent: 5}, 4, 100, true},
		"at it": {Threshold{Percent: 5}, 5, 100, false},
		"bytes": {Threshold{Bytes: 10}, 9, 1000, true}, "enough": {Threshold{Bytes: 10}, 10, 1000, false},
		"empty": {Threshold{Percent: 5}, 0, 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.t.Low(tt.free, tt.total); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestPlaces fills disks and empties them again, and reads the log.
func TestPlaces(t *testing.T) {
	var log bytes.Buffer
	systems := map[string]FileSystem{"/state": {1, 50, 100}, "/cluster": {1, 50, 100}, "/homes/alice": {2, 50, 100},
		"/homes/bob": {1, 50, 100}}
	w := watch(t, newLauncher(true), Config{Paths: []string{"/state", "/cluster", "/none"},
		WarnFree: Threshold{Percent: 10}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Statfs: func(path string) (FileSystem, error) {
			f, ok := systems[path]
			if !ok {
				return f, &fs.PathError{Op: "statfs", Path: path, Err: fs.ErrNotExist}
			}
			return f, nil
		}})
	w.recall(t.Context())
	look := func(free int64) string {
		t.Helper()
		systems["/homes/alice"] = FileSystem{2, free, 100}
		w.Read(t.Context())
		var names []string
		for _, p := range w.Places() {
			name := p.Path
			if p.Low {
				name += " LOW"
			}
			names = append(names, name)
		}
		return strings.Join(names, ", ")
	}
	for _, step := range []struct {
		free int64
		want string
	}{{50, "/state, /homes/alice"}, {9, "/state, /homes/alice LOW"}, {8, "/state, /homes/alice LOW"},
		{10, "/state, /homes/alice"}, {1, "/state, /homes/alice LOW"}} {
		if got := look(step.free); got != step.want {
			t.Errorf("with %d free: %q, want %q", step.free, got, step.want)
		}
	}
	if low, recovered := strings.Count(log.String(), "event=disk-low"),
		strings.Count(log.String(), "event=disk-recovered"); low != 2 || recovered != 1 {
		t.Errorf("told %d times of little space and %d times of enough:\n%s", low, recovered, &log)
	}
	paths := func(name string) []string {
		var all []string
		for _, p := range w.LowFor(user(t, name)) {
			all = append(all, p.Path)
		}
		return all
	}
	if diff := cmp.Diff(map[string][]string{"alice": {"/homes/alice"}, "bob": nil},
		map[string][]string{"alice": paths("alice"), "bob": paths("bob")}); diff != "" {
		t.Error(diff)
	}
}

// TestHungFileSystem checks that a file system that never answers is read once and blocks nobody.
func TestHungFileSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan struct{})
		var asked atomic.Int32
		w := watch(t, newLauncher(true), Config{Paths: []string{"/hanging", "/well"},
			Statfs: func(path string) (FileSystem, error) {
				if path == "/hanging" {
					asked.Add(1)
					<-back
				}
				return FileSystem{uint64(len(path)), 1, 2}, nil
			}})
		for range 5 {
			w.Read(t.Context())
		}
		if asked.Load() != 1 || len(w.Places()) != 1 {
			t.Errorf("asked %d times, found %v", asked.Load(), w.Places())
		}
		close(back)
		synctest.Wait()
		if w.Read(t.Context()); len(w.Places()) != 2 {
			t.Errorf("after it is back: %v", w.Places())
		}
	})
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 bytes", -5: "0 bytes", 999: "999 bytes", 1000: "1.0 kB",
		999_949: "999.9 kB", 999_950: "1.0 MB", 12_345_000_000: "12.3 GB", 1 << 62: "4.6 EB"} {
		if got := Size(bytes); got != want {
			t.Errorf("%d is %q, want %q", bytes, got, want)
		}
	}
}

func TestStatfs(t *testing.T) {
	f, err := Statfs("/proc/self/../..")
	if err != nil || f.Total <= 0 || f.Free < 0 || f.Free > f.Total {
		t.Errorf("got %+v, %v", f, err)
	}
	if _, err := Statfs("/no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}
