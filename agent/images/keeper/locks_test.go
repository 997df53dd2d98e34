package keeper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

const other = "quay.io/other/x:1"

// hanging begins a pull of a name that does not end before release is called, and waits until it has begun.
func (r *rig) hanging(t *testing.T, name, id string) (j *job, release func()) {
	t.Helper()
	brake, begun := make(chan struct{}), make(chan struct{})
	r.podman.mu.Lock()
	r.podman.brakes[name] = func() { close(begun); <-brake }
	r.podman.registry[name] = id
	r.podman.mu.Unlock()
	j, err := r.Pull(name, false)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	var done bool
	release = func() {
		if !done {
			done = true
			close(brake)
		}
	}
	t.Cleanup(release)
	return j, release
}

// soon ends what waits behind a pull that hangs.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// done follows a job, which must end well although a pull hangs.
func done(t *testing.T, what string, j *job, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var p imagekeeper.Progress
	err = j.follow(soon(t), func(q imagekeeper.Progress) error { p = q; return nil })
	if err != nil || !p.Done {
		t.Fatalf("%s behind a pull of another image: %+v, %v", what, p, err)
	}
}

// TestOthersGoOn checks that a pull that hangs holds up nothing that is about other images.
func TestOthersGoOn(t *testing.T) {
	r := newRig(t)
	r.pulled(t, "localhost/old:1", id(1))
	r.pulled(t, "localhost/old:1", id(2))
	_, release := r.hanging(t, name, id(3))
	r.text = strings.Replace(r.text, `pull = "never"`, `pull = "missing"`, 1)
	r.podman.mu.Lock()
	r.podman.registry["localhost/never:1"], r.podman.registry[other] = id(4), id(5)
	r.podman.mu.Unlock()

	j, err := r.Ensure("never")
	done(t, "Ensure", j, err)
	j, err = r.Pull(other, false)
	done(t, "Pull", j, err)
	j, err = r.Import(t.Context(), "localhost/root:1", strings.NewReader(tarball(t, "./etc/passwd", "root:x:0")),
		noInterrupt)
	done(t, "Import", j, err)
	if image, err := r.Rollback(soon(t), imagekeeper.RollbackRequest{Name: "localhost/old:1"}); err != nil ||
		image.ID != id(1) {
		t.Errorf("Rollback behind a pull of another image: %+v, %v", image, err)
	}
	if err := r.Remove(soon(t), other); err != nil {
		t.Errorf("Remove behind a pull of another image: %v", err)
	}
	release()
	r.Wait()
	r.want(t, "04 localhost/never:1", "01 localhost/old:1", "63 localhost/root:1", "03 "+name, "02  localhost/old:1")
}

// TestWaitersMayGo checks that what has to wait for a pull ends with its caller.
func TestWaitersMayGo(t *testing.T) {
	r := newRig(t)
	r.pulled(t, name, id(1))
	r.pulled(t, name, id(2))
	r.hanging(t, name, id(3))
	for what, wait := range map[string]func(context.Context) error{
		"Remove":               func(ctx context.Context) error { return r.Remove(ctx, name) },
		"Remove of the former": func(ctx context.Context) error { return r.Remove(ctx, id(1)) },
		"Rollback": func(ctx context.Context) error {
			_, err := r.Rollback(ctx, imagekeeper.RollbackRequest{Name: name})
			return err
		},
		"Import": func(ctx context.Context) error {
			j, err := r.Import(ctx, name, strings.NewReader(tarball(t, "./etc/passwd", "root:x:0")), noInterrupt)
			if err != nil {
				return err
			}
			if p := last(t, j, nil); !p.Failed || !strings.Contains(p.Message, "context canceled") {
				t.Errorf("an import whose client went away ends with %+v", p)
			}
			return ctx.Err()
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- wait(ctx) }()
		select {
		case err := <-ended:
			t.Errorf("%s does not wait for the pull: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s, cancelled: %v", what, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s goes on waiting although its caller has gone away", what)
		}
	}
	r.want(t, "02 "+name, "01  "+name)
}

// TestPruneBesideChanges checks that Prune waits for no pull, and leaves what a change has brought or is about to name.
func TestPruneBesideChanges(t *testing.T) {
	r := newRig(t)
	for i := 1; i <= 2; i++ {
		r.pulled(t, name, id(i))
		r.pulled(t, other, id(i+2))
	}
	_, release := r.hanging(t, name, id(5))
	r.podman.mu.Lock()
	r.podman.put(nil, id(6)) // an import has loaded it
	r.podman.mu.Unlock()
	none := 0
	for _, dry := range []bool{true, false} {
		pruned, err := r.Prune(soon(t), imagekeeper.PruneRequest{KeepFormer: &none, DryRun: dry})
		if err != nil || len(pruned.Images) != 1 || pruned.Images[0].ID != id(3) {
			t.Errorf("dry %v: pruned %+v, %v; want 03…", dry, pruned, err)
		}
	}
	release()
	r.Wait()
	if _, err := r.Prune(soon(t), imagekeeper.PruneRequest{KeepFormer: &none}); err != nil {
		t.Error(err)
	}
	r.want(t, "05 "+name, "04 "+other)
}

// TestViewBeingMade checks that removal waits for the launcher's lock and ends with its caller.
func TestViewBeingMade(t *testing.T) {
	r := newRig(t)
	r.pulled(t, name, id(1))
	view, err := os.Open(filepath.Join(r.run, "images", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	if err := unix.Flock(int(view.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := r.Remove(ctx, name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Remove while a view is made: %v", err)
	}
	if _, err := r.Prune(ctx, imagekeeper.PruneRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Prune while a view is made: %v", err)
	}
	if err := view.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(soon(t), name); err != nil {
		t.Errorf("Remove afterwards: %v", err)
	}
	r.want(t, []string{}...)
}

// TestFailureBesideAnother checks that a failed pull removes what it brought and nothing of a pull beside it.
func TestFailureBesideAnother(t *testing.T) {
	r := newRig(t)
	_, release := r.hanging(t, name, id(1))
	r.podman.mu.Lock()
	r.podman.put([]string{name}, id(1)) // half-way: the image is there, the pull goes on
	r.podman.registry[other], r.podman.failAt = id(2), "pull"
	r.podman.mu.Unlock()
	j, err := r.Pull(other, false)
	if p := last(t, j, err); !p.Failed {
		t.Errorf("ended with %+v", p)
	}
	if !r.orphans.Load() {
		t.Error("layers were removed while a pull is under way")
	}
	r.podman.mu.Lock()
	r.podman.failAt = ""
	r.podman.mu.Unlock()
	release()
	r.Wait()
	r.want(t, "01 "+name)
	if r.orphans.Load() {
		t.Error("nobody removed the layers that the failed pull may have left")
	}
}

// TestUnnamed checks which images sweep removes.
func TestUnnamed(t *testing.T) {
	image := func(n int, names ...string) summary { return summary{id: id(n), names: names} }
	all := []summary{image(1, "a"), image(2), image(3), image(4), image(5, formerRepository+"x:1")}
	h := &history{Pulled: map[string]time.Time{id(3): {}}, Names: map[string]*nameHistory{
		"a": {Former: []imagekeeper.Former{{ID: id(4)}}}}}
	if got := unnamed(all, h); !slices.Equal(got, []string{id(2)}) {
		t.Errorf("without a name are %v, want only 02…", got)
	}
}

// TestUnnamedInUse checks that an image on which a server runs stays, whatever its names.
func TestUnnamedInUse(t *testing.T) {
	r := newRig(t)
	r.podman.put(nil, id(1))
	r.podman.put(nil, id(2))
	r.use(t, "jupyter-alice.service", id(1))
	r.Tidy()
	r.Wait()
	r.want(t, "01")
}
