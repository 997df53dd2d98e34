package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// pullName pulls a name and keeps the image that it had.
func (k *Keeper) pullName(ctx context.Context, rules *policy.Policy, name string, j *job) (string, error) {
	return k.renew(ctx, rules, name, nil, func() error {
		j.add(imagekeeper.Progress{Image: name, Message: "pulling " + name})
		var last time.Time
		var where string
		err := k.cfg.Podman.pull(ctx, name, func(s layerStep) {
			// Many a second are of no use to anybody.
			if at := s.Layer + s.Status; at == where && time.Since(last) < 200*time.Millisecond && s.Current < s.Total {
				return
			} else {
				where, last = at, time.Now()
			}
			j.add(imagekeeper.Progress{Image: name, Layer: s.Layer, Message: s.Status, Current: s.Current,
				Total: s.Total})
		})
		return notPulled(name, err)
	})
}

// notPulled says what was not pulled and, where a registry wants to know who asks, what to
// do. Podman's API hands the registry's refusal (RFC 9110, 401) on as a text alone.
func notPulled(name string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("image %s cannot be pulled: %w", name, err)
	if strings.Contains(err.Error(), "unauthorized") || strings.Contains(err.Error(), "authentication required") {
		err = fmt.Errorf("%w\nhint: a name and password in /etc/gifford-hub/registry-auth.json, as podman login "+
			"--authfile writes it; then: systemctl restart gifford-images", err)
	}
	return err
}

// loadArchive loads a profile's archive, which must hold the name.
func (k *Keeper) loadArchive(ctx context.Context, rules *policy.Policy, name string, stamp archiveStamp,
	j *job) (string, error) {
	file, err := os.Open(stamp.Path)
	if err != nil {
		return "", refuse("image %q cannot be loaded: %v\nhint: the user %s must be able to read the archive", name,
			err, imagestore.Account)
	}
	defer file.Close()
	return k.renew(ctx, rules, name, &stamp, func() error {
		j.add(imagekeeper.Progress{Image: name, Message: "loading the image from " + stamp.Path})
		// With what it begins does not matter here: Podman says whether it is an image.
		_, in, err := saved(counted(file, name, stamp.Size, j))
		if err != nil {
			return refuse("image %q cannot be loaded from %s: %v", name, stamp.Path, err)
		}
		defer in.Close()
		names, err := k.cfg.Podman.load(ctx, in)
		if err != nil {
			return fmt.Errorf("image %q cannot be loaded from %s: %w", name, stamp.Path, err)
		}
		if !slices.Contains(names, name) {
			return refuse("the archive %s does not hold an image %q; it has %s", stamp.Path, name,
				strings.Join(names, ", "))
		}
		return nil
	})
}

// counted tells of the bytes that were read so far.
func counted(r io.Reader, name string, total int64, j *job) io.Reader {
	var sum int64
	var last time.Time
	return readFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		sum += int64(n)
		if time.Since(last) > 500*time.Millisecond {
			last = time.Now()
			j.add(imagekeeper.Progress{Image: name, Layer: "archive", Message: "read", Current: sum, Total: total})
		}
		return n, err
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// Import puts an archive into the store under a name: a docker-archive or oci-archive, of
// which the only image gets the name, or the tar of a root file system.
func (k *Keeper) Import(name string, archive io.Reader) (*job, error) {
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
	// Who sends the archive ends the import by going away, so nobody shares it.
	return k.share("import "+name+" "+time.Now().String(), func(ctx context.Context, j *job) (string, error) {
		return k.renew(ctx, rules, name, nil, func() error { return k.importArchive(ctx, name, archive, j) })
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
	before, err := k.cfg.Podman.list(ctx)
	if err != nil {
		return err
	}
	names, err := k.cfg.Podman.load(ctx, in)
	if err != nil {
		return fmt.Errorf("the archive cannot be loaded: %w", err)
	}
	if len(names) != 1 {
		return refuse("the archive has %d images; one is needed: %s", len(names), strings.Join(names, ", "))
	}
	return k.rename(ctx, before, names[0], name)
}

// rename returns the loaded image its name, and what the archive called it back to the
// image that had that name before.
func (k *Keeper) rename(ctx context.Context, before []summary, loaded, name string) error {
	id, err := k.find(loaded)
	if err != nil || id == "" {
		id = strings.TrimPrefix(loaded, "sha256:")
	}
	repository, tag, err := splitTag(name)
	if err != nil {
		return err
	}
	if err := k.cfg.Podman.tag(ctx, id, repository, tag); err != nil {
		return err
	}
	if loaded == name || imagestore.IsID(strings.TrimPrefix(loaded, "sha256:")) {
		return nil
	}
	if repository, tag, err = splitTag(loaded); err != nil {
		return nil // it has no tag to give back
	}
	if i := slices.IndexFunc(before, func(s summary) bool { return slices.Contains(s.names, loaded) }); i >= 0 {
		return k.cfg.Podman.tag(ctx, before[i].id, repository, tag)
	}
	return k.cfg.Podman.untag(ctx, id, repository, tag)
}

// renew lets bring give a name a new image, keeps the former one and notes what happened.
// If bring fails the name is what it was, and nothing new stays.
func (k *Keeper) renew(ctx context.Context, rules *policy.Policy, name string, stamp *archiveStamp,
	bring func() error) (string, error) {
	if err := k.room(rules); err != nil {
		return "", err
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	before, err := k.find(name)
	if err != nil {
		return "", err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return "", err
	}
	if before != "" {
		repository, tag := formerName(name, before)
		if err := k.cfg.Podman.tag(ctx, before, repository, tag); err != nil {
			return "", err
		}
	}
	known, err := k.known(ctx)
	if err != nil {
		return "", err
	}
	if err := bring(); err != nil {
		return "", errors.Join(err, k.restore(name, before, known))
	}
	after, err := k.find(name)
	if err != nil || after == "" {
		return "", errors.Join(fmt.Errorf("%s is not in the store afterwards", name), err)
	}
	if after == before {
		err = k.unhide(ctx, name, before)
	} else if before != "" {
		h.moved(name, imagekeeper.Former{ID: before, Digest: k.digest(ctx, before), Pulled: h.Pulled[before]})
	}
	if _, ok := h.Pulled[after]; !ok {
		h.Pulled[after] = time.Now().UTC().Truncate(time.Second)
	}
	h.of(name).Held = false
	h.of(name).forget(after)
	h.of(name).Archive = stamp
	return after, errors.Join(err, h.write(k.cfg.StateDir))
}

// known returns the IDs of all images.
func (k *Keeper) known(ctx context.Context) (map[string]bool, error) {
	all, err := k.cfg.Podman.list(ctx)
	known := map[string]bool{}
	for _, s := range all {
		known[s.id] = true
	}
	return known, err
}

// restore returns a name back to the image that it had and removes images that are new.
func (k *Keeper) restore(name, before string, known map[string]bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), time.Minute)
	defer cancel()
	var errs []error
	if before != "" {
		if repository, tag, err := splitTag(name); err == nil {
			errs = append(errs, k.cfg.Podman.tag(ctx, before, repository, tag))
		}
		errs = append(errs, k.unhide(ctx, name, before))
	}
	now, err := k.cfg.Podman.list(ctx)
	errs = append(errs, err)
	for _, s := range now {
		if !known[s.id] {
			errs = append(errs, k.cfg.Podman.remove(ctx, s.id))
		}
	}
	return errors.Join(append(errs, k.removeOrphans(ctx))...)
}

// unhide takes away the hidden name of an image that is not a former one of the name.
func (k *Keeper) unhide(ctx context.Context, name, id string) error {
	h, err := readHistory(k.cfg.StateDir)
	if err != nil || slices.ContainsFunc(h.of(name).Former, func(f imagekeeper.Former) bool { return f.ID == id }) {
		return err
	}
	repository, tag := formerName(name, id)
	return k.cfg.Podman.untag(ctx, id, repository, tag)
}

// digest returns an image's digest; "" when it cannot be told.
func (k *Keeper) digest(ctx context.Context, id string) string {
	all, _ := k.cfg.Podman.list(ctx)
	for _, s := range all {
		if s.id == id {
			return s.digest
		}
	}
	return ""
}

// exclusively runs work while no view of an image is made, with what is in use.
func (k *Keeper) exclusively(work func(uses map[string][]string) error) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	lock, err := os.Open(filepath.Join(k.cfg.LauncherRun, "images", imagestore.LockName))
	switch {
	case errors.Is(err, fs.ErrNotExist): // no launcher has run yet
	case err != nil:
		return fmt.Errorf("cannot lock the images: %w", err)
	default:
		defer lock.Close()
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return fmt.Errorf("cannot lock the images: %w", err)
		}
	}
	uses, err := imagestore.Uses(k.cfg.LauncherRun, k.cfg.LauncherState)
	if err != nil {
		return err
	}
	return work(uses)
}

// Remove takes a name, or an image with all its names, out of the store.
func (k *Keeper) Remove(ctx context.Context, name string) error {
	return k.exclusively(func(uses map[string][]string) error {
		image, byName, err := k.lookup(ctx, name)
		if err != nil {
			return err
		}
		if byName != "" && len(image.names) > 1 {
			repository, tag, err := splitTag(byName)
			if err != nil {
				return err
			}
			return k.cfg.Podman.untag(ctx, image.id, repository, tag)
		}
		if who := uses[image.id]; len(who) > 0 {
			return refuse("image %.12s is in use by %s\nhint: stop them first", image.id, strings.Join(who, ", "))
		}
		return k.drop(ctx, image.id)
	})
}

// drop removes an image and forgets it.
func (k *Keeper) drop(ctx context.Context, id string) error {
	if err := k.cfg.Podman.remove(ctx, id); err != nil {
		return err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return err
	}
	delete(h.Pulled, id)
	for _, n := range h.Names {
		n.forget(id)
	}
	return h.write(k.cfg.StateDir)
}

// lookup returns the image of a name or of the beginning of an ID, and the name in full if
// it was one.
func (k *Keeper) lookup(ctx context.Context, name string) (summary, string, error) {
	all, err := k.cfg.Podman.list(ctx)
	if err != nil {
		return summary{}, "", err
	}
	if idPrefix(name) {
		if i := slices.IndexFunc(all, func(s summary) bool { return strings.HasPrefix(s.id, name) }); i >= 0 {
			return all[i], "", nil
		}
	}
	full, err := normal(name)
	if err != nil {
		return summary{}, "", err
	}
	if id, err := k.find(full); err != nil || id == "" {
		return summary{}, "", errors.Join(refuse("there is no image %s\nhint: gifford-hub images list", full), err)
	} else if i := slices.IndexFunc(all, func(s summary) bool { return s.id == id }); i >= 0 {
		return all[i], full, nil
	}
	return summary{}, "", refuse("there is no image %s\nhint: gifford-hub images list", full)
}

// Prune removes what no name, no former name to keep and no server needs.
func (k *Keeper) Prune(ctx context.Context, req imagekeeper.PruneRequest) (imagekeeper.Pruned, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return imagekeeper.Pruned{}, err
	}
	keep := rules.Images.KeepFormer
	if req.KeepFormer != nil {
		keep = max(0, *req.KeepFormer)
	}
	result := imagekeeper.Pruned{Images: []imagekeeper.Image{}}
	err = k.exclusively(func(uses map[string][]string) error {
		all, err := k.Images(ctx)
		if err != nil {
			return err
		}
		h, err := readHistory(k.cfg.StateDir)
		if err != nil {
			return err
		}
		kept := map[string]bool{}
		for _, n := range h.Names {
			for _, f := range n.Former[:min(keep, len(n.Former))] {
				kept[f.ID] = true
			}
		}
		for _, image := range all {
			if len(image.Names) > 0 || kept[image.ID] || len(uses[image.ID]) > 0 {
				continue
			}
			if !req.DryRun {
				if err := k.drop(ctx, image.ID); err != nil {
					return fmt.Errorf("cannot remove image %.12s: %w", image.ID, err)
				}
			}
			result.Images = append(result.Images, image)
			result.Freed += image.Size
		}
		return nil
	})
	return result, err
}

// Rollback returns a name back to an image that had it before, and holds it there.
func (k *Keeper) Rollback(ctx context.Context, req imagekeeper.RollbackRequest) (imagekeeper.Image, error) {
	name, err := normal(req.Name)
	if err != nil {
		return imagekeeper.Image{}, err
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return imagekeeper.Image{}, err
	}
	current, err := k.find(name)
	if err != nil {
		return imagekeeper.Image{}, err
	}
	to, err := chosen(h.of(name).Former, name, req.To)
	if err != nil {
		return imagekeeper.Image{}, err
	}
	if current != "" {
		repository, tag := formerName(name, current)
		if err := k.cfg.Podman.tag(ctx, current, repository, tag); err != nil {
			return imagekeeper.Image{}, err
		}
	}
	repository, tag, err := splitTag(name)
	if err != nil {
		return imagekeeper.Image{}, err
	}
	if err := k.cfg.Podman.tag(ctx, to.ID, repository, tag); err != nil {
		return imagekeeper.Image{}, fmt.Errorf("cannot go back to image %.12s: %w", to.ID, err)
	}
	if current != "" && current != to.ID {
		h.moved(name, imagekeeper.Former{ID: current, Digest: k.digest(ctx, current), Pulled: h.Pulled[current]})
	}
	h.of(name).forget(to.ID)
	h.of(name).Held = true
	if err := h.write(k.cfg.StateDir); err != nil {
		return imagekeeper.Image{}, err
	}
	if err := k.unhide(ctx, name, to.ID); err != nil {
		return imagekeeper.Image{}, err
	}
	k.cfg.Log.Info("image rolled back", "event", "image-rollback", "image", name, "id", to.ID, "from", current)
	d, err := k.Image(ctx, name)
	return d.Image, err
}

// chosen picks the former image: the newest, or the one of a digest or ID.
func chosen(former []imagekeeper.Former, name, to string) (imagekeeper.Former, error) {
	for _, f := range former {
		if to == "" || f.Digest == to || idPrefix(to) && strings.HasPrefix(f.ID, to) {
			return f, nil
		}
	}
	if to == "" {
		return imagekeeper.Former{}, refuse("%s has no former image to go back to\nhint: gifford-hub images show %s",
			name, name)
	}
	return imagekeeper.Former{}, refuse("%s was never image %.80s\nhint: gifford-hub images show %s", name, to, name)
}
