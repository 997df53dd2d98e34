package nofollow

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree is a directory with one thing of each kind.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "dir"), 0o700),
		os.WriteFile(filepath.Join(dir, "dir", "file"), []byte("text"), 0o600),
		os.Symlink("dir", filepath.Join(dir, "link")),
		os.Symlink("file", filepath.Join(dir, "dir", "link")),
		unix.Mkfifo(filepath.Join(dir, "dir", "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDirectory(t *testing.T) {
	dir := tree(t)
	for name, want := range map[string]error{"dir": nil, "dir/.": nil, "link": unix.ELOOP, "link/.": unix.ELOOP,
		"dir/file": unix.ENOTDIR, "dir/link": unix.ELOOP, "none": fs.ErrNotExist} {
		got, err := Directory(dir + "/" + name)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err == nil && (got.Name() != filepath.Clean(dir+"/"+name) || got.Close() != nil) {
			t.Errorf("%s opened as %s", name, got.Name())
		}
	}
}

func TestEntry(t *testing.T) {
	parent, err := Directory(filepath.Join(tree(t), "dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	tests := map[string]struct {
		name      string
		directory bool
		want      error
	}{
		"file":              {"file", false, nil},
		"file as directory": {"file", true, unix.ENOTDIR},
		"itself":            {".", true, nil},
		"above":             {"..", true, unix.EXDEV},
		"link":              {"link", false, unix.ELOOP},
		"absolute":          {"/", true, unix.EXDEV},
		"none":              {"none", false, fs.ErrNotExist},
	}
	for name, tt := range tests {
		got, err := Entry(parent, tt.name, tt.directory)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if err == nil {
			_ = got.Close()
		}
	}
}

func TestRegular(t *testing.T) {
	parent, err := os.Open(tree(t))
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	me := uint32(os.Getuid())
	for name, tt := range map[string]struct {
		name  string
		owner uint32
		ok    bool
	}{
		"file": {"dir/file", me, true}, "another's": {"dir/file", me + 1, false}, "link": {"dir/link", me, false},
		"through a link": {"link/file", me, false}, "FIFO": {"dir/fifo", me, false}, "directory": {"dir", me, false},
		"above": {"../x", me, false}, "none": {"dir/none", me, false},
	} {
		done := make(chan error, 1)
		go func() {
			file, err := Regular(parent, tt.name, tt.owner)
			if err == nil {
				var data []byte
				if data, err = io.ReadAll(file); string(data) != "text" {
					err = errors.Join(err, errors.New("other text"))
				}
				_ = file.Close()
			}
			done <- err
		}()
		select {
		case err := <-done:
			if (err == nil) != tt.ok {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: it blocks", name)
		}
	}
}

// unknown is a file of which nothing is known.
type unknown struct{ fs.FileInfo }

func (unknown) Sys() any          { return nil }
func (unknown) Mode() fs.FileMode { return 0o600 }

func TestOwner(t *testing.T) {
	if Owner(unknown{}) != InvalidUID || Group(unknown{}) != InvalidGID || RootAlone(unknown{}) {
		t.Error("a file of which nothing is known is somebody's")
	}
	file := filepath.Join(t.TempDir(), "file")
	for mode, want := range map[fs.FileMode]bool{0o600: true, 0o755: true, 0o664: false, 0o646: false, 0o620: false} {
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if Owner(info) != uint32(os.Getuid()) || Group(info) != uint32(os.Getgid()) {
			t.Errorf("the owner is %d:%d", Owner(info), Group(info))
		}
		if got := RootAlone(info); got != (want && os.Getuid() == 0) {
			t.Errorf("mode %o of uid %d is root's alone: %v", mode, os.Getuid(), got)
		}
	}
}
