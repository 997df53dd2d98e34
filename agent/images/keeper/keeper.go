// Package keeper owns the host's one copy of every image: it pulls, imports, keeps former
// ones to go back to, and removes what nobody needs, through a Podman of its own and
// within the policy. It runs as an unprivileged account and must never run as root, start
// a container, hand out a path of the store, or remove an image that a server runs on.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// engine changes the store.
type engine interface {
	pull(ctx context.Context, name string, each func(layerStep)) error
	load(ctx context.Context, archive io.Reader) ([]string, error)
	importRoot(ctx context.Context, name string, archive io.Reader) error
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
	// StateDir holds the store and the history; LauncherRun and LauncherState are the
	// launcher's directories, which tell what is in use.
	StateDir, LauncherRun, LauncherState string
	Log                                  *slog.Logger
}

// Keeper does the work behind the routes.
type Keeper struct {
	cfg Config
	wg  sync.WaitGroup
	ctx context.Context // the life of jobs

	mu   sync.Mutex      // guards jobs
	jobs map[string]*job // pulls and loads under way, by name

	writing sync.Mutex // held by whoever changes names, images or the history
}

// New makes a Keeper. Its jobs end with ctx; Wait waits for them.
func New(ctx context.Context, cfg Config) *Keeper {
	return &Keeper{cfg: cfg, ctx: ctx, jobs: map[string]*job{}}
}

// Wait waits for the jobs.
func (k *Keeper) Wait() { k.wg.Wait() }

// Busy reports whether a job is under way.
func (k *Keeper) Busy() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.jobs) > 0
}

// A refusal is an error for the caller, in words, with an optional hint after a line
// break.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

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

// share returns the job of that name, or begins one.
func (k *Keeper) share(name string, work func(ctx context.Context, j *job) (id string, err error)) *job {
	k.mu.Lock()
	defer k.mu.Unlock()
	if j := k.jobs[name]; j != nil {
		return j
	}
	j := newJob()
	k.jobs[name] = j
	k.wg.Go(func() {
		begun := time.Now()
		id, err := work(k.ctx, j)
		k.mu.Lock()
		delete(k.jobs, name)
		k.mu.Unlock()
		if err != nil {
			k.cfg.Log.Error("image not brought", "event", "image-failed", "image", name, "error", err)
			message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
			j.add(imagekeeper.Progress{Image: name, Message: message, Hint: hint, Failed: true})
			return
		}
		k.cfg.Log.Info("image is there", "event", "image-there", "image", name, "id", id, "took_ms",
			time.Since(begun).Milliseconds())
		j.add(imagekeeper.Progress{Image: name, Message: "image " + name + " is there", ID: id, Done: true})
	})
	return j
}

// ended is a job that has nothing to do.
func ended(p imagekeeper.Progress) *job {
	j := newJob()
	p.Done = true
	j.add(p)
	return j
}

// Ensure brings the image of a profile into the store.
func (k *Keeper) Ensure(profile string) (*job, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	p, ok := profileOf(rules, profile)
	if !ok {
		return nil, refuse("there is no profile %.40q in %s", profile, policy.File)
	}
	name, err := normal(p.Image)
	if err != nil {
		return nil, err
	}
	if !rules.Images.Share {
		return ended(imagekeeper.Progress{Image: name, Message: "every member has a copy of the image"}), nil
	}
	id, err := k.find(name)
	if errors.Is(err, imagestore.ErrFormat) {
		k.cfg.Log.Warn("members get copies of their own", "event", "store-format", "image", name, "error", err)
		return ended(imagekeeper.Progress{Image: name, Message: err.Error()}), nil
	} else if err != nil {
		return nil, err
	}
	fresh, err := k.freshArchive(p, name, id != "")
	switch {
	case err != nil && id == "":
		return nil, err
	case err != nil: // the image is there, its archive no longer is
		k.cfg.Log.Warn("cannot look at the archive of an image", "event", "archive-unreadable", "image", name, "error",
			err)
		fallthrough
	case id != "" && fresh == nil:
		return ended(imagekeeper.Progress{Image: name, ID: id, Message: "image " + name + " is there"}), nil
	case fresh != nil:
		return k.share(name, func(ctx context.Context, j *job) (string,
			error) {
			return k.loadArchive(ctx, rules, name, *fresh, j)
		}), nil
	case p.Pull == policy.PullMissing:
		return k.share(name, func(ctx context.Context, j *job) (string,
			error) {
			return k.pullName(ctx, rules, name, j)
		}), nil
	}
	return nil, refuse("image %q is not on this host, and profile %q does not allow pulling it\nhint: set archive "+
		"or pull in [profile.%s] of %s, or: gifford-hub images import %s FILE",
		p.Image, p.Name, p.Name, policy.File, p.Image)
}

func profileOf(rules *policy.Policy, name string) (policy.Profile, bool) {
	if name == "" {
		return rules.Profiles[0], true
	}
	i := slices.IndexFunc(rules.Profiles, func(p policy.Profile) bool { return p.Name == name })
	if i < 0 {
		return policy.Profile{}, false
	}
	return rules.Profiles[i], true
}

// freshArchive returns the profile's archive if the image is not there or the archive is not
// the one that was loaded last.
func (k *Keeper) freshArchive(p policy.Profile, name string, there bool) (*archiveStamp, error) {
	if p.Archive == "" {
		return nil, nil
	}
	info, err := os.Stat(p.Archive)
	if err != nil {
		return nil, refuse("image %q cannot be loaded: %v\nhint: the user %s must be able to read the archive", p.Image,
			err, imagestore.Account)
	}
	stamp := archiveStamp{p.Archive, info.Size(), info.ModTime().UTC()}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	if last := h.of(name).Archive; there && (h.of(name).Held || last != nil && *last == stamp) {
		return nil, nil
	}
	return &stamp, nil
}

// Pull asks the registry for a name again; a rollback of it is over then.
func (k *Keeper) Pull(name string) (*job, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	name, err = normal(name)
	if err != nil {
		return nil, err
	}
	if err := allowed(rules, name); err != nil {
		return nil, err
	}
	return k.share(name, func(ctx context.Context, j *job) (string, error) { return k.pullName(ctx, rules, name, j) }),
		nil
}

// Refreshable names what a timer pulls: images of profiles that come from a registry,
// are not pinned and not held.
func (k *Keeper) Refreshable() ([]string, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range rules.Profiles {
		name, err := normal(p.Image)
		if err == nil && p.Pull == policy.PullMissing && p.Archive == "" && !pinned(name) && !h.of(name).Held &&
			!slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}

// room refuses what needs space when little is left.
func (k *Keeper) room(rules *policy.Policy) error {
	d, err := k.disk(rules)
	if err == nil && d.Low {
		return refuse("nothing is pulled or imported: %s has %s left, and the policy wants %s\nhint: gifford-hub "+
			"images prune; or min_free in [images] of %s",
			d.Path, inUnits(uint64(d.Free)), inUnits(rules.Images.MinFree), policy.File)
	}
	return err
}

func (k *Keeper) disk(rules *policy.Policy) (imagekeeper.Disk, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(k.cfg.StateDir, &st); err != nil {
		return imagekeeper.Disk{}, fmt.Errorf("cannot look at the disk of the images: %w", err)
	}
	store, err := k.store()
	if err != nil {
		return imagekeeper.Disk{}, err
	}
	defer store.Close()
	free := int64(st.Bavail) * st.Bsize
	return imagekeeper.Disk{Path: k.cfg.StateDir, Store: store.Size(), Free: free, Total: int64(st.Blocks) * st.Bsize,
		Low: uint64(max(0, free)) < rules.Images.MinFree}, nil
}

// Disk reports what the store takes and what is left.
func (k *Keeper) Disk() (imagekeeper.Disk, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return imagekeeper.Disk{}, err
	}
	return k.disk(rules)
}

// inUnits writes a size as people do.
func inUnits(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %cB", f, units[i])
}
