package sweep

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// host is a launcher's directory in which alice has servers; it returns that directory, and hers in it.
func host(t *testing.T) (run, servers string, alice ident.User) {
	t.Helper()
	run = t.TempDir()
	servers = filepath.Join(run, "servers", "alice")
	if err := os.MkdirAll(servers, 0o711); err != nil {
		t.Fatal(err)
	}
	alice, err := ident.ParseUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	return run, servers, alice
}

// names lists a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// nest makes directories in one another, depth of them. Each is moved into the next, since no path is that long.
func nest(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Mkdirat(fd, "a", 0o700); err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := errors.Join(unix.Mkdirat(fd, "b", 0o700), unix.Renameat(fd, "a", fd, "b/a"),
			unix.Renameat(fd, "b", fd, "a")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRetired removes what a member can leave, and nothing else.
func TestRetired(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(dir string) error{
		"empty": func(string) error { return nil },
		"deep":  func(dir string) error { nest(t, dir, 5000); return nil },
		"two deep": func(dir string) error {
			for _, d := range []string{"1", "2"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
					return err
				}
				nest(t, filepath.Join(dir, d), 200)
			}
			return nil
		},
		"wide": func(dir string) error {
			for i := range 3 * batch {
				if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint(i), "x"), 0o700); err != nil {
					return err
				}
			}
			return nil
		},
		"names of ours": func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Join(dir, "3", "1", "2", "1"), 0o700),
				os.MkdirAll(filepath.Join(dir, "1", "2", "3"), 0o700),
				os.WriteFile(filepath.Join(dir, "2"), nil, 0o600))
		},
		"links": func(dir string) error {
			return errors.Join(os.Symlink(outside, filepath.Join(dir, "file")),
				os.Symlink(filepath.Dir(outside), filepath.Join(dir, "dir")),
				os.Symlink("..", filepath.Join(dir, "above")), os.Link(outside, filepath.Join(dir, "hard")))
		},
		"special": func(dir string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return errors.Join(unix.Mkfifo(filepath.Join(dir, "fifo"), 0), unix.Bind(fd,
				&unix.SockaddrUnix{Name: filepath.Join(dir, "s")}))
		},
		"sticky": func(dir string) error {
			d := filepath.Join(dir, "d")
			return errors.Join(os.Mkdir(d, 0o700), os.WriteFile(filepath.Join(d, "f"), nil, 0o600),
				os.Chmod(d, 0o700|os.ModeSticky))
		},
	}
	for name, leave := range tests {
		t.Run(name, func(t *testing.T) {
			run, servers, alice := host(t)
			old := filepath.Join(servers, ".0")
			if err := errors.Join(os.Mkdir(old, 0o700), os.MkdirAll(filepath.Join(servers, "_", "x"),
				0o700)); err != nil {
				t.Fatal(err)
			}
			if err := leave(old); err != nil {
				t.Fatal(err)
			}
			if err := Retired(run, alice); err != nil {
				t.Error(err)
			}
			if got := names(t, servers); !slices.Equal(got, []string{"_"}) {
				t.Errorf("%v are left", got)
			}
			if _, err := os.Stat(outside); err != nil {
				t.Error(err)
			}
			if got := names(t, filepath.Join(servers, "_")); len(got) != 1 {
				t.Error("the directory of a server was emptied")
			}
		})
	}
}

// TestNoServers is about a member who has had none.
func TestNoServers(t *testing.T) {
	run, servers, alice := host(t)
	if err := os.Remove(servers); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Retired(run, alice), Mounts(run, alice)); err != nil {
		t.Error(err)
	}
	if err := os.Symlink("/tmp", servers); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Retired": Retired(run, alice), "Mounts": Mounts(run, alice)} {
		if !errors.Is(err, unix.ELOOP) {
			t.Errorf("%s through a link: %v", what, err)
		}
	}
}

// TestRights says what it could not remove, and removes the rest.
func TestRights(t *testing.T) {
	if os.Getuid() == 0 {
		runtime.LockOSThread() // never unlocked: its rights end with it
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
	}
	run, err := os.MkdirTemp("", "sweep")
	if err != nil {
		t.Fatal(err)
	}
	alice, _ := ident.ParseUser("alice")
	old := filepath.Join(run, "servers", "alice", ".0")
	shut := filepath.Join(old, "shut")
	t.Cleanup(func() {
		_ = os.Chmod(shut, 0o700)
		_ = os.RemoveAll(run)
	})
	if err := errors.Join(os.MkdirAll(filepath.Join(shut, "x"), 0o700),
		os.MkdirAll(filepath.Join(old, "y", "z"), 0o700),
		os.Chmod(shut, 0)); err != nil {
		t.Fatal(err)
	}
	if err := Retired(run, alice); err == nil || !strings.Contains(err.Error(), "shut") {
		t.Errorf("got %v", err)
	}
	if got := names(t, old); !slices.Equal(got, []string{"shut"}) {
		t.Errorf("%v are left", got)
	}
}
