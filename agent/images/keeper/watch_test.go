package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// registry is a Podman whose pulls report what a registry does, step by step.
type registry struct {
	*fake
	serve func(ctx context.Context, each func(layerStep)) error
}

func (r *registry) pull(ctx context.Context, _ string, each func(layerStep)) error {
	return r.serve(ctx, each)
}

// every reports a step at each interval, n times; for ever if n is 0. It then waits for the end of ctx.
func every(interval time.Duration, n int, step func(i int) layerStep) func(context.Context, func(layerStep)) error {
	return func(ctx context.Context, each func(layerStep)) error {
		for i := 0; n == 0 || i < n; i++ {
			each(step(i))
			select {
			case <-time.After(interval):
			case <-ctx.Done():
				return errors.New("podman's API service: " + ctx.Err().Error())
			}
		}
		<-ctx.Done()
		return errors.New("podman's API service: " + ctx.Err().Error())
	}
}

// TestSilentRegistry checks when a pull ends for which nothing comes, and what it says.
func TestSilentRegistry(t *testing.T) {
	const silent = "the registry quay.io has sent nothing for two minutes"
	layer := func(i int) layerStep {
		return layerStep{Layer: "aa", Status: "Downloading", Current: int64(i), Total: 1e9}
	}
	for what, tt := range map[string]struct {
		serve func(context.Context, func(layerStep)) error
		after time.Duration
		want  string
	}{
		"never answers": {every(time.Hour, 0, func(int) layerStep { return layerStep{} }), 2 * time.Minute,
			silent},
		"stops in a layer": {every(time.Second, 60, layer), 59*time.Second + 2*time.Minute, silent},
		"says the same again": {every(time.Second, 0, func(int) layerStep { return layer(1) }), 2 * time.Minute,
			silent},
		"says less again": {every(time.Second, 0, func(i int) layerStep { return layer(-i) }), 2 * time.Minute,
			silent},
		"speaks of no layer": {every(time.Second, 0,
			func(i int) layerStep { return layerStep{Current: int64(i)} }), 2 * time.Minute, silent},
		"a byte a minute": {every(time.Minute, 0, layer), 6 * time.Hour,
			"longer than the policy allows, 6h0m0s"},
		"unpacks": {every(time.Minute, 30, func(int) layerStep { return layerStep{Unpacking: true} }),
			31 * time.Minute, silent},
		"a layer every minute": {every(time.Minute, 9,
			func(i int) layerStep { return layerStep{Layer: fmt.Sprint(i)} }), 10 * time.Minute, silent},
		"a state every 2 minutes": {every(119*time.Second, 5,
			func(i int) layerStep { return layerStep{Layer: "a", Status: fmt.Sprint(i)} }),
			4*119*time.Second + 2*time.Minute, silent},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.cfg.Podman = &registry{r.podman, tt.serve}
			begun := time.Now()
			j, err := r.Pull(name, false)
			p := last(t, j, err)
			if took := time.Since(begun); !p.Failed || !strings.Contains(p.Message, tt.want) || p.Hint == "" ||
				took < tt.after || took > tt.after+2*watchInterval {
				t.Errorf("%s: ended after %s with %+v; want %s, %q", what, took, p, tt.after, tt.want)
			}
			r.want(t, []string{}...)
		})
	}
}

// TestDiskFills checks that a pull and an import end when the disk runs full under them, in words.
func TestDiskFills(t *testing.T) {
	begin := map[string]func(*rig) (*job, error){
		"pull": func(r *rig) (*job, error) {
			r.cfg.Podman = &registry{r.podman, every(time.Second, 0, func(i int) layerStep {
				return layerStep{Layer: "aa", Current: int64(i)}
			})}
			return r.Pull(name, false)
		},
		"import": func(r *rig) (*job, error) {
			in, _ := io.Pipe() // sends no more
			archive := io.MultiReader(strings.NewReader(docker(r.podman.t, held(1))), in)
			return r.Import(context.Background(), name, archive, func() { _ = in.Close() })
		},
		"archive that is unpacked": func(r *rig) (*job, error) {
			r.cfg.Podman = &endless{r.podman}
			archive := strings.NewReader(docker(r.podman.t, held(1)))
			return r.Import(context.Background(), name, archive, noInterrupt)
		},
	}
	for what, do := range begin {
		for _, full := range []string{"", "storage", "tmp"} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				if err := os.MkdirAll(filepath.Join(r.cfg.StateDir, "tmp"), 0o755); err != nil {
					t.Fatal(err)
				}
				var measured atomic.Int32
				r.statfs = func(path string, into *unix.Statfs_t) error {
					into.Bsize, into.Bavail, into.Blocks = 1, 1<<30, 1<<40
					if path == filepath.Join(r.cfg.StateDir, full) && measured.Add(1) > 10 {
						into.Bavail = 512
					}
					return nil
				}
				j, err := do(r)
				p := last(t, j, err)
				if !p.Failed || !strings.Contains(p.Message, "had 512 B left, and the policy wants 1.0 KB") ||
					!strings.Contains(p.Hint, "prune") {
					t.Errorf("%s, %q full: ended with %+v", what, full, p)
				}
			})
		}
	}
}

// endless is a Podman that unpacks an archive until its request ends.
type endless struct{ *fake }

func (e *endless) load(ctx context.Context, _ io.Reader) (string, error) {
	<-ctx.Done()
	return "", errors.New("podman's API service: " + ctx.Err().Error())
}

// TestWhoWaits checks that a pull ends when nobody waits for it any more, and not before.
func TestWhoWaits(t *testing.T) {
	none := func(imagekeeper.Progress) error { return nil }
	follow := func(t *testing.T, j *job, err error) (goAway func()) {
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = j.follow(ctx, none)
		}()
		return func() { cancel(); <-ended }
	}
	pull := func(r *rig) (*job, error) { return r.Pull(name, false) }
	detached := func(r *rig) (*job, error) { return r.Pull(name, true) }
	ensure := func(r *rig) (*job, error) { return r.Ensure("lab") }
	for what, tt := range map[string]struct {
		callers []func(*rig) (*job, error)
		goesOn  bool
	}{
		"one":                    {[]func(*rig) (*job, error){pull}, false},
		"two":                    {[]func(*rig) (*job, error){pull, pull}, false},
		"detached":               {[]func(*rig) (*job, error){detached}, true},
		"a start":                {[]func(*rig) (*job, error){ensure}, true},
		"a start, then a person": {[]func(*rig) (*job, error){ensure, pull}, true},
		"a person, then a start": {[]func(*rig) (*job, error){pull, ensure}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			var running atomic.Bool
			r.cfg.Podman = &registry{r.podman, func(ctx context.Context, _ func(layerStep)) error {
				running.Store(true)
				defer running.Store(false)
				<-ctx.Done()
				return ctx.Err()
			}}
			var gone []func()
			for _, call := range tt.callers {
				j, err := call(r)
				gone = append(gone, follow(t, j, err))
			}
			for i, goAway := range gone {
				synctest.Wait()
				if !running.Load() {
					t.Errorf("%s: the pull ended although %d of %d wait for it", what, len(gone)-i, len(gone))
				}
				goAway()
			}
			synctest.Wait()
			if running.Load() != tt.goesOn {
				t.Errorf("%s: all have gone away, and the pull runs: %v", what, running.Load())
			}
			if !tt.goesOn { // a new one does not get the end of the old
				r.cfg.Podman = r.podman
				r.pulled(t, name, id(1))
			}
		})
	}
}

// TestAbandonedWhileItEnds checks that whoever asks for a name whose pull is about to end, since all have gone away,
// gets a pull of their own.
func TestAbandonedWhileItEnds(t *testing.T) {
	r := newRig(t)
	j, release := r.hanging(t, name, id(1))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.follow(gone, func(imagekeeper.Progress) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("who goes away: %v", err)
	}
	next, err := r.Pull(name, false)
	if next == j {
		t.Error("the pull that ends is shared")
	}
	release()
	if p := last(t, next, err); !p.Done {
		t.Errorf("the next pull ended with %+v", p)
	}
}

// TestTidyOpensTheGate checks that a Podman which does not answer does not hold up changes for ever.
func TestTidyOpensTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		hangs := &mute{fake: r.podman}
		r.cfg.Podman = hangs
		begun := time.Now()
		r.Tidy()
		synctest.Wait()
		if r.changes.tryClose() {
			t.Fatal("Tidy does not close the gate")
		}
		if err := r.changes.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.changes.leave()
		if took := time.Since(begun); took > tidying {
			t.Errorf("the gate was shut for %s", took)
		}
	})
}

// mute is a Podman that answers nothing.
type mute struct{ *fake }

func (m *mute) list(ctx context.Context) ([]summary, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestReasonIsAHint checks that what ended a pull is what people read.
func TestReasonIsAHint(t *testing.T) {
	w := &watch{}
	w.ctx, w.stop = context.WithCancelCause(t.Context())
	if err := w.reason(errBroken); !errors.Is(err, errBroken) {
		t.Errorf("while it goes on: %v", err)
	}
	w.stop(refuseWith("next", "why"))
	if err := w.reason(errBroken); err.Error() != "why" || hint.Of(err) != "next" {
		t.Errorf("when it was ended: %v", err)
	}
	if err := w.reason(nil); err != nil {
		t.Errorf("of what has succeeded all the same: %v", err)
	}
}

// TestInterruptedCommand checks that a pull ends when the only connection that waits for it is closed, and a detached
// one does not.
func TestInterruptedCommand(t *testing.T) {
	for _, detached := range []bool{false, true} {
		r := newRig(t)
		begun, ended, goOn := make(chan struct{}), make(chan error, 1), make(chan struct{})
		r.cfg.Podman = &registry{r.podman, func(ctx context.Context, each func(layerStep)) error {
			each(layerStep{Layer: "aa", Status: "Downloading"})
			close(begun)
			select {
			case <-ctx.Done():
			case <-goOn:
			}
			ended <- ctx.Err()
			return errors.New("over")
		}}
		client := r.serve(t)
		ctx, interrupt := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		ask := client.Pull
		if detached {
			ask = client.PullDetached
		}
		go func() { answer <- ask(ctx, name, func(imagekeeper.Progress) {}) }()
		<-begun
		interrupt()
		if err := <-answer; err == nil {
			t.Error("an interrupted command succeeds")
		}
		if detached {
			close(goOn)
		}
		if err := <-ended; errors.Is(err, context.Canceled) == detached {
			t.Errorf("detached %v: the pull ended with %v", detached, err)
		}
	}
}

// serve returns a client of the rig, on a socket.
func (r *rig) serve(t *testing.T) *imagekeeper.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "keeper") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.Handler(uint32(os.Geteuid())), ConnContext: Peer, ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		_ = os.RemoveAll(dir)
	})
	return imagekeeper.New(filepath.Join(dir, "s"))
}
