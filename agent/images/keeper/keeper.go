// Package keeper owns the host's one copy of every image: it pulls and imports images, retains former ones to go back
// to, and removes what nobody needs, through a Podman of its own and within the policy. It runs as an unprivileged
// account and must never run as root, start a container, hand out a path of the store, or remove an image that a server
// runs on.
package keeper

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// engine changes the store.
type engine interface {
	pull(ctx context.Context, name string, each func(layerStep)) error
	// load and importRoot return the image's ID. They change no name.
	load(ctx context.Context, archive io.Reader) (id string, err error)
	importRoot(ctx context.Context, archive io.Reader) (id string, err error)
	list(ctx context.Context) ([]summary, error)
	inspect(ctx context.Context, id string) (config, error)
	tag(ctx context.Context, id, repository, tag string) error
	untag(ctx context.Context, id, repository, tag string) error
	remove(ctx context.Context, id string) error
}

// Config is what a Keeper needs. All fields are required.
type Config struct {
	Podman engine
	// Policy reads launcher.toml; it is called for each request.
	Policy func() (*policy.Policy, error)
	// StateDir has the store and the history; LauncherRun and LauncherState are the launcher's directories, which
	// record what is in use.
	StateDir, LauncherRun, LauncherState string
	Log                                  *slog.Logger
}

// Keeper does the work behind the routes.
type Keeper struct {
	cfg Config
	wg  sync.WaitGroup
	ctx context.Context // the life of jobs

	mu   sync.Mutex      // guards jobs
	jobs map[string]*job // pulls, loads and imports under way, by key

	names   nameLocks   // held by whoever changes a name
	changes gate        // open to whoever changes a name, closed by whoever removes what has none
	records sync.Mutex  // held while the history is read and written
	statfs  statfs      // unix.Statfs
	orphans atomic.Bool // a change failed and may have left images without a name and layers without an image
}

// New makes a Keeper. Its jobs end with ctx; Wait waits for them.
func New(ctx context.Context, cfg Config) *Keeper {
	return &Keeper{cfg: cfg, ctx: ctx, jobs: map[string]*job{}, statfs: unix.Statfs}
}

// Wait waits for the jobs.
func (k *Keeper) Wait() { k.wg.Wait() }

// Busy reports whether a job is under way.
func (k *Keeper) Busy() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.jobs) > 0
}

func (k *Keeper) store() (*imagestore.Store, error) {
	return imagestore.Open(filepath.Join(k.cfg.StateDir, "storage"))
}

// find returns the ID of a name's image; "" when there is none.
func (k *Keeper) find(name string) (string, error) {
	store, err := k.store()
	if err != nil {
		return "", err
	}
	defer store.Close()
	image, err := store.Find(name)
	if errors.Is(err, imagestore.ErrNotFound) {
		return "", nil
	}
	return image.ID, err
}

// share returns the job of that key, or begins one that changes a name. The caller calls its follow. stays lets the job
// go on when nobody follows it.
func (k *Keeper) share(key, name string, stays bool,
	work func(ctx context.Context, j *job) (id string, err error)) *job {
	k.mu.Lock()
	defer k.mu.Unlock()
	if j := k.jobs[key]; j != nil && j.join(stays) {
		return j
	}
	j := newJob()
	ctx, cancel := context.WithCancelCause(k.ctx)
	j.cancel, j.stays = cancel, stays
	k.jobs[key] = j
	k.wg.Go(func() {
		defer cancel(nil)
		begun := time.Now()
		id, err := work(ctx, j)
		k.mu.Lock()
		if k.jobs[key] == j { // else one that was asked for after this was abandoned
			delete(k.jobs, key)
		}
		k.mu.Unlock()
		if errors.Is(err, errAbandoned) {
			k.cfg.Log.Info("nobody waits for the image any more", "event", "image-abandoned", "image", name)
			j.add(imagekeeper.Progress{Image: name, Message: errAbandoned.Error(), Failed: true})
			return
		} else if err != nil {
			k.cfg.Log.Error("cannot fetch image", "event", "image-failed", "image", name, "error", hint.Text(err))
			j.add(imagekeeper.Progress{Image: name, Message: err.Error(), Hint: hint.Of(err), Failed: true})
			return
		}
		k.cfg.Log.Info("image available", "event", "image-available", "image", name, "id", id, "took_ms",
			time.Since(begun).Milliseconds())
		j.add(imagekeeper.Progress{Image: name, Message: available(name), ID: id, Done: true})
	})
	return j
}
