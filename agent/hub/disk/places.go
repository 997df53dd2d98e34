package disk

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
)

// FileSystem is a result of statfs(2).
type FileSystem struct {
	ID          uint64 // the same for all directories on it
	Free, Total int64  // bytes
}

// Statfs reads the file system of a directory. It needs no right on the directory itself, so it works for members'
// homes. One that a member has mounted there is not asked: what waits for it cannot be ended.
func Statfs(path string) (FileSystem, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // os.OpenFile asks what it has opened
	if err != nil {
		return FileSystem{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	if err := mountinfo.Refuse(dir); err != nil {
		return FileSystem{}, err
	}
	var dev unix.Stat_t
	var st unix.Statfs_t
	if err := errors.Join(unix.Fstat(fd, &dev), unix.Fstatfs(fd, &st)); err != nil {
		return FileSystem{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	size := int64(st.Frsize)
	return FileSystem{dev.Dev, int64(st.Bavail) * size, int64(st.Blocks) * size}, nil
}

// Read reads the file systems of the settings' directories and of the known homes.
func (w *Watch) Read(ctx context.Context) {
	wait := statfsTime
	for _, path := range w.paths() {
		if ctx.Err() != nil {
			return
		}
		if w.stuck(path) {
			continue
		}
		f, err := w.within(ctx, path, wait)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.drop(path)
		case errors.Is(err, errNoAnswer) && wait < statfsTime: // another one was logged
		case err != nil:
			if errors.Is(err, errNoAnswer) {
				wait = quickTime // the others are probably on the same one
			}
			w.cfg.Log.Warn("cannot read a file system", "event", "disk-unreadable", "path", path, "error",
				err.Error())
		default:
			w.see(path, f)
		}
	}
}

// paths returns the settings' directories first, so that a file system is named after one of them.
func (w *Watch) paths() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	homes := map[string]bool{}
	for _, u := range w.usage {
		if u.HomePath != "" {
			homes[u.HomePath] = true
		}
	}
	return append(slices.Clone(w.cfg.Paths), slices.Sorted(maps.Keys(homes))...)
}

var errNoAnswer = errors.New("the file system does not answer")

// stuck reports whether an earlier call of Statfs has not returned yet.
func (w *Watch) stuck(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asking[path]
}

func (w *Watch) setAsking(path string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asking[path] = on; !on {
		delete(w.asking, path)
	}
}

// within calls Statfs with a time limit: on a network file system whose server is down it does not return. One
// goroutine for each path then waits until the server is back.
func (w *Watch) within(ctx context.Context, path string, wait time.Duration) (FileSystem, error) {
	type answer struct {
		f   FileSystem
		err error
	}
	done := make(chan answer, 1)
	w.setAsking(path, true)
	go func() {
		f, err := w.cfg.Statfs(path)
		w.setAsking(path, false)
		done <- answer{f, err}
	}()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case a := <-done:
		return a.f, a.err
	case <-ctx.Done():
		return FileSystem{}, errNoAnswer
	}
}

func (w *Watch) drop(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.places, path)
}

// see records a file system. It logs once that the file system is nearly full, until it no longer is.
func (w *Watch) see(path string, f FileSystem) {
	p := Place{Path: path, Free: f.Free, Total: f.Total, Low: w.cfg.WarnFree.Low(f.Free, f.Total), Seen: w.cfg.Now(),
		id: f.ID}
	w.mu.Lock()
	before := w.places[path]
	w.places[path] = p
	named := w.nameOf(p)
	w.mu.Unlock()
	if named != path || p.Low == before.Low {
		return
	}
	if p.Low {
		w.cfg.Log.Warn("little disk space is left", "event", "disk-low", "path", path, "free", p.Free, "total", p.Total)
	} else {
		w.cfg.Log.Info("enough disk space is free again", "event", "disk-recovered", "path", path, "free", p.Free,
			"total", p.Total)
	}
}

// nameOf returns the path that names a file system: the first of the settings' paths on it, or else the first of the
// homes. w.mu is held.
func (w *Watch) nameOf(p Place) string {
	for _, path := range append(slices.Clone(w.cfg.Paths), slices.Sorted(maps.Keys(w.places))...) {
		if other, ok := w.places[path]; ok && other.id == p.id && other.Total == p.Total {
			return path
		}
	}
	return p.Path
}

// Places returns the file systems, each once, in the order of the settings.
func (w *Watch) Places() []Place {
	paths := w.paths()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []Place{}
	for _, path := range paths {
		if p, ok := w.places[path]; ok && w.nameOf(p) == path {
			all = append(all, p)
		}
	}
	return all
}

// LowFor returns the file systems with little space that matter to a user: those of the settings and that of their
// home.
func (w *Watch) LowFor(user ident.User) []Place {
	w.mu.Lock()
	home := w.places[w.usage[user].HomePath]
	var name string
	if home.Path != "" {
		name = w.nameOf(home)
	}
	w.mu.Unlock()
	return slices.DeleteFunc(w.Places(), func(p Place) bool {
		return !p.Low || !slices.Contains(w.cfg.Paths, p.Path) && p.Path != name
	})
}
