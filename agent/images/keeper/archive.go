package keeper

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// readInterval is the time between two steps that say how much of an archive was read.
const readInterval = 500 * time.Millisecond

// stampOf returns an archive's stamp as the file is now.
func stampOf(image, archive string) (archiveStamp, error) {
	info, err := os.Stat(archive)
	if err != nil {
		return archiveStamp{}, unreadable(image, err)
	}
	return archiveStamp{archive, info.Size(), info.ModTime().UTC()}, nil
}

func unreadable(image string, err error) error {
	return refuseWith("the user "+imagestore.Account+" must be able to read the archive", "cannot load image %q: %v",
		image, err)
}

// shareLoad returns the job that brings a name, or begins to load a profile's archive.
func (k *Keeper) shareLoad(rules *policy.Policy, name string, stamp archiveStamp) *job {
	return k.share(name, name, func(ctx context.Context, j *job) (string, error) {
		file, err := os.Open(stamp.Path)
		if err != nil {
			return "", unreadable(name, err)
		}
		defer file.Close()
		return k.renew(ctx, rules, name, &stamp, func() error { return k.loadArchive(ctx, name, stamp, file, j) })
	})
}

// loadArchive loads a profile's archive, which must hold the name.
func (k *Keeper) loadArchive(ctx context.Context, name string, stamp archiveStamp, file io.Reader, j *job) error {
	j.add(imagekeeper.Progress{Image: name, Message: "loading the image from " + stamp.Path})
	// Podman says whether it is an image; the name of its first file does not matter here.
	_, in, err := saved(counted(file, name, stamp.Size, j))
	if err != nil {
		return refuse("cannot load image %q from %s: %v", name, stamp.Path, err)
	}
	defer in.Close()
	names, err := k.cfg.Podman.load(ctx, in)
	if err != nil {
		return fmt.Errorf("cannot load image %q from %s: %w", name, stamp.Path, err)
	}
	if !slices.Contains(names, name) {
		return refuse("the archive %s does not hold an image %q; it has %s", stamp.Path, name,
			strings.Join(names, ", "))
	}
	return nil
}

// counted returns a reader of r that adds a step for the bytes that were read so far. total is 0 if it is not known.
func counted(r io.Reader, name string, total int64, j *job) io.Reader {
	var sum int64
	var last time.Time
	return readFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		sum += int64(n)
		if time.Since(last) > readInterval {
			last = time.Now()
			j.add(imagekeeper.Progress{Image: name, Layer: "archive", Message: "read", Current: sum, Total: total})
		}
		return n, err
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// Import puts an archive into the store under a name: a docker-archive or oci-archive, whose only image gets the name,
// or the tar of a root file system. It ends when ctx does, which is the life of the request that sends the archive.
func (k *Keeper) Import(ctx context.Context, name string, archive io.Reader) (*job, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	if name, err = normal(name); err != nil {
		return nil, err
	}
	if pinned(name) {
		return nil, refuse("an image cannot be imported under a digest: %s", name)
	}
	if err := allowed(rules, name); err != nil {
		return nil, err
	}
	// The key is the import's own: nobody else can share what one client sends.
	key := "import " + name + " " + time.Now().String()
	return k.share(key, name, func(life context.Context, j *job) (string, error) {
		life, cancel := context.WithCancel(life)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return k.renew(life, rules, name, nil, func() error { return k.importArchive(life, name, archive, j) })
	}), nil
}

func (k *Keeper) importArchive(ctx context.Context, name string, archive io.Reader, j *job) error {
	j.add(imagekeeper.Progress{Image: name, Message: "importing " + name})
	image, in, err := saved(counted(archive, name, 0, j))
	if err != nil {
		return refuse("%v", err)
	}
	defer in.Close()
	if !image {
		return k.cfg.Podman.importRoot(ctx, name, in)
	}
	begun := time.Now()
	before, err := k.cfg.Podman.list(ctx)
	if err != nil {
		return err
	}
	names, err := k.cfg.Podman.load(ctx, in)
	if err != nil {
		return fmt.Errorf("cannot load the archive: %w", err)
	}
	if len(names) != 1 {
		return refuse("the archive has %d images; one is needed: %s", len(names), strings.Join(names, ", "))
	}
	return k.rename(ctx, names[0], name, k.ownerOf(names[0], before, begun))
}

// ownerOf returns the image that had a name before an import took it away; "" for none. before are the images at the
// import's begin: a pull may have given the name another one since.
func (k *Keeper) ownerOf(name string, before []summary, begun time.Time) string {
	if id := k.moves.since(name, begun); id != "" {
		return id
	}
	if i := slices.IndexFunc(before, func(s summary) bool { return slices.Contains(s.names, name) }); i >= 0 {
		return before[i].id
	}
	return ""
}

// rename gives the loaded image its name, and what the archive called it back to its owner, the image that had that
// name before; "" for none.
func (k *Keeper) rename(ctx context.Context, loaded, name, owner string) error {
	loadedID := strings.TrimPrefix(loaded, "sha256:")
	id, err := k.find(loaded)
	if err != nil || id == "" {
		id = loadedID
	}
	repository, tag, err := splitTag(name)
	if err != nil {
		return err
	}
	if err := k.cfg.Podman.tag(ctx, id, repository, tag); err != nil {
		return err
	}
	if loaded == name || imagestore.IsID(loadedID) {
		return nil
	}
	if repository, tag, err = splitTag(loaded); err != nil {
		return nil // it has no tag to give back
	}
	if owner != "" {
		return k.cfg.Podman.tag(ctx, owner, repository, tag)
	}
	return k.cfg.Podman.untag(ctx, id, repository, tag)
}
