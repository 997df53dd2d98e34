package tlscert

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watched opens the pair and watches it until the test ends.
func watched(t *testing.T, cfg Config, times timing) (*Loader, *logged) {
	t.Helper()
	log := &logged{}
	cfg.Log = slog.New(log)
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.timing = times
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Watch(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	time.Sleep(50 * time.Millisecond) // let it set its watches
	return l, log
}

// byEvents leaves no work to the clock.
var byEvents = timing{debounce: 20 * time.Millisecond, recheck: time.Hour, remind: time.Hour}

func awaitName(t *testing.T, l *Loader, want string) {
	t.Helper()
	eventually(t, want, func() bool {
		names, _ := l.Info()
		return names[len(names)-1] == want
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s did not come", what)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path+".new"); err != nil {
		t.Fatal(err)
	}
	rename(t, path+".new", path)
}

func TestWatchTakesUpRenewal(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string) (path string, renew func(pem string)){
		"written over": func(t *testing.T, dir string) (string, func(string)) {
			path := filepath.Join(dir, "tls", "hub.pem")
			return path, func(pem string) { write(t, path, pem) }
		},
		"renamed over": func(t *testing.T, dir string) (string, func(string)) {
			path := filepath.Join(dir, "tls", "hub.pem")
			return path, func(pem string) {
				rename(t, write(t, path+".tmp", pem), path)
			}
		},
		"link swapped": func(t *testing.T, dir string) (string, func(string)) {
			path := filepath.Join(dir, "live", "hub", "fullchain.pem")
			version := 0
			return path, func(pem string) {
				version++
				name := "fullchain" + string(rune('0'+version)) + ".pem"
				write(t, filepath.Join(dir, "archive", "hub", name), pem)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				link(t, filepath.Join("..", "..", "archive", "hub", name), path)
			}
		},
		"directory link swapped": func(t *testing.T, dir string) (string, func(string)) {
			version := 0
			return filepath.Join(dir, "current", "hub.pem"), func(pem string) {
				version++
				name := "v" + string(rune('0'+version))
				write(t, filepath.Join(dir, name, "hub.pem"), pem)
				link(t, name, filepath.Join(dir, "current"))
			}
		},
	}
	for name, setUp := range tests {
		t.Run(name, func(t *testing.T) {
			path, renew := setUp(t, t.TempDir())
			renew(simple(t, "one.lab", soon()))
			l, log := watched(t, Config{Certificate: path}, byEvents)
			for _, host := range []string{"two.lab", "zwei.lab"} {
				renew(simple(t, host, soon()))
				awaitName(t, l, host)
			}
			if got := log.count("certificate-loaded"); got != 3 {
				t.Errorf("%d times loaded, want 3: %q", got, log.entries)
			}
		})
	}
}

func TestWatchKeepsOldOnBrokenNew(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "hub.pem"), simple(t, "one.lab", soon()))
	l, log := watched(t, Config{Certificate: path},
		timing{debounce: 10 * time.Millisecond, recheck: 30 * time.Millisecond, remind: time.Hour})
	write(t, path, "half a file")
	eventually(t, "rejection", func() bool { return log.count("certificate-rejected") > 0 })
	awaitName(t, l, "one.lab")
	time.Sleep(200 * time.Millisecond)
	// An empty file may have been seen between truncation and writing, with the same words.
	if got := log.count("certificate-rejected"); got != 1 {
		t.Errorf("said %d times, want once", got)
	}
	write(t, path, simple(t, "two.lab", soon()))
	awaitName(t, l, "two.lab")
}

func TestWatchTwoFilesRenewedOneAfterTheOther(t *testing.T) {
	dir := t.TempDir()
	one, two := issue(t, nil, "one.lab", false, newKey(t), soon()), issue(t, nil, "two.lab", false, newKey(t), soon())
	cfg := Config{Certificate: write(t, filepath.Join(dir, "a", "cert"), one.pem()),
		Key: write(t, filepath.Join(dir, "b", "key"), one.keyPEM(t))}
	l, log := watched(t, cfg, byEvents)
	write(t, cfg.Certificate, two.pem())
	eventually(t, "rejection", func() bool { return log.count("certificate-rejected") > 0 })
	write(t, cfg.Key, two.keyPEM(t))
	awaitName(t, l, "two.lab")
}

func TestWatchLooksByTheClock(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "hub.pem"), simple(t, "one.lab", soon()))
	l, _ := watched(t, Config{Certificate: path},
		timing{debounce: time.Hour, recheck: 20 * time.Millisecond, remind: time.Hour})
	write(t, path, simple(t, "two.lab", soon()))
	awaitName(t, l, "two.lab")
}

func TestWatchReminds(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "hub.pem"), simple(t, "one.lab", time.Now().Add(time.Hour)))
	_, log := watched(t, Config{Certificate: path},
		timing{debounce: time.Hour, recheck: time.Hour, remind: 20 * time.Millisecond})
	eventually(t, "reminders", func() bool { return log.count("certificate-expiring") >= 3 })
}
