package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	return k.share(name, name, true, func(ctx context.Context, j *job) (string, error) {
		file, err := os.Open(stamp.Path)
		if err != nil {
			return "", unreadable(name, err)
		}
		defer file.Close()
		return k.renew(ctx, rules, name, &stamp, func() (string, error) {
			return k.watched(ctx, rules, func(ctx context.Context) (string, error) {
				return k.loadArchive(ctx, name, stamp, file, j)
			})
		})
	})
}

// loadArchive loads the image of a name from a profile's archive and returns its ID. Other images and names that the
// archive has stay in it.
func (k *Keeper) loadArchive(ctx context.Context, name string, stamp archiveStamp, file io.Reader,
	j *job) (string, error) {
	j.add(imagekeeper.Progress{Image: name, Message: "loading the image from " + stamp.Path})
	// Its contents say whether it is an image; the name of its first file does not matter here.
	_, in, err := saved(counted(file, name, stamp.Size, j))
	if err != nil {
		return "", refuse("cannot load image %q from %s: %v", name, stamp.Path, err)
	}
	defer in.Close()
	archive := sift(in, called(name))
	id, err := k.load(ctx, archive)
	if errors.Is(err, errNotHeld) {
		return "", refuse("the archive %s does not hold an image %q; it has %s", stamp.Path, name,
			cmp.Or(listed(archive.found), "none with a name"))
	} else if err != nil {
		return "", fmt.Errorf("cannot load image %q from %s: %w", name, stamp.Path, err)
	}
	return id, nil
}

// load loads the image that a sieve lets through and returns its ID. No name of the store changes.
func (k *Keeper) load(ctx context.Context, archive *sieve) (string, error) {
	id, err := k.cfg.Podman.load(ctx, archive)
	if refused := archive.refusal(); refused != nil {
		return "", refused // the reason why Podman did not get all of it
	}
	return id, err
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
// interrupt ends a read of the archive that waits for whoever sends it.
func (k *Keeper) Import(ctx context.Context, name string, archive io.Reader, interrupt func()) (*job, error) {
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
	return k.share(key, name, false, func(life context.Context, j *job) (string, error) {
		life, cancel := context.WithCancel(life)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return k.renew(life, rules, name, nil, func() (string, error) {
			return k.watched(life, rules, func(ctx context.Context) (string, error) {
				defer context.AfterFunc(ctx, interrupt)()
				return k.importArchive(ctx, name, archive, j)
			})
		})
	}), nil
}

// importArchive brings the image that an archive has and returns its ID.
func (k *Keeper) importArchive(ctx context.Context, name string, archive io.Reader, j *job) (string, error) {
	j.add(imagekeeper.Progress{Image: name, Message: "importing " + name})
	image, in, err := saved(counted(archive, name, 0, j))
	if err != nil {
		return "", refuse("%v", err)
	}
	defer in.Close()
	if !image {
		return k.cfg.Podman.importRoot(ctx, in)
	}
	id, err := k.load(ctx, sift(in, only))
	if err != nil {
		return "", fmt.Errorf("cannot load the archive: %w", err)
	}
	return id, nil
}
