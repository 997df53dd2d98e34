package view

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// Host is where things are; tests have another.
type Host struct {
	RunDir, StateDir, Store, EtcDir string
	Warn                            io.Writer // what people read in the unit's journal
}

// Standard is the host of the package.
func Standard(warn io.Writer) Host {
	return Host{RunDir: contract.RunDir, StateDir: contract.StateDir, Store: imagestore.Dir, EtcDir: "/etc", Warn: warn}
}

// Mount makes the view of a server's image and says by what name the unit is to run it.
// Where it cannot be made, it says why and leaves a storage.conf without it: the image
// then has to be in the member's own store.
func (h Host) Mount(key ident.Key) error {
	r, err := h.request(key)
	if err != nil {
		return err
	}
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := h.fresh(key)
	if err != nil {
		return err
	}
	defer dir.Close()
	image, err := h.share(dir, key, r)
	var slow *unshared
	if errors.As(err, &slow) {
		return h.settings(dir, key, r, r.Image, slow.Error())
	} else if err != nil {
		return fmt.Errorf("cannot make the view of image %q: %w", r.Image, err)
	}
	if err := h.settings(dir, key, r, image, ""); err != nil {
		return err
	}
	if err := h.record(path.Join(h.RunDir, "images"), key.Unit(), image); err != nil || r.Persistent == "" {
		return err
	}
	return h.record(h.keptDir(key), keptFile(key, r), image)
}

// keptDir and keptFile name the record of the image that a kept container needs.
func (h Host) keptDir(key ident.Key) string {
	return path.Join(h.StateDir, "images", contract.SocketDirParts(key)[1])
}

func keptFile(key ident.Key, r contract.ViewRequest) string {
	return contract.SocketDirParts(key)[2] + "." + r.Persistent
}

// wanted is the image to look for: the one of the kept container, or the profile's.
func (h Host) wanted(key ident.Key, r contract.ViewRequest, store *imagestore.Store) (imagestore.Image, error) {
	if r.Persistent != "" {
		data, err := os.ReadFile(path.Join(h.keptDir(key), keptFile(key, r)))
		if id := strings.TrimSpace(string(data)); err == nil && imagestore.IsID(id) {
			image, err := store.Find(id)
			if !errors.Is(err, imagestore.ErrNotFound) {
				return image, err
			}
			_, _ = fmt.Fprintf(h.Warn, "the image %.12s, from which the kept container was made, is no longer in "+
				"the store\n", id)
		}
	}
	return store.Find(r.Image)
}

// Unmount takes the view of a server away, and what says that the server needs its image.
func (h Host) Unmount(key ident.Key) error {
	dir := path.Join(h.RunDir, contract.ViewParts(key))
	return errors.Join(detach(path.Join(dir, "overlay")), os.RemoveAll(dir),
		removeIfThere(path.Join(h.RunDir, "images", key.Unit())))
}

// Probe reports why members cannot share the store's images; nil when they can. It mounts
// nothing anywhere.
func (h Host) Probe() error {
	store, err := imagestore.Open(h.Store)
	if err != nil {
		return err
	}
	store.Close()
	source, err := nofollow.Directory(path.Join(h.Store, "overlay"))
	if errors.Is(err, fs.ErrNotExist) {
		source, err = nofollow.Directory(path.Dir(h.Store)) // nothing was pulled yet
	}
	if err != nil {
		return err
	}
	defer source.Close()
	tree, err := cloneMapped(source, IDMap{{1, 100000, 1}}, IDMap{{1, 100000, 1}})
	if err != nil {
		return fmt.Errorf("the file system of %s: %w", source.Name(), err)
	}
	return unix.Close(tree)
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// How long a start waits while images are removed.
const (
	lockTime  = time.Minute
	lockEvery = 50 * time.Millisecond
)

// unshared says why there is no view.
type unshared struct{ err error }

func (e *unshared) Error() string { return e.err.Error() }

// lock keeps the keeper from removing images while one is looked up and noted.
func (h Host) lock() (unlock func(), err error) {
	f, err := os.Open(path.Join(h.RunDir, "images", "lock"))
	if err != nil {
		return nil, fmt.Errorf("cannot lock the images: %w", err)
	}
	for end := time.Now().Add(lockTime); ; time.Sleep(lockEvery) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			_ = f.Close()
			return nil, fmt.Errorf("cannot lock the images: %w\nhint: is \"gifford-hub images prune\" or rm under "+
				"way? journalctl -u gifford-images", err)
		}
	}
}

// fresh makes the server's empty directory, after whatever an earlier view left. All of it is
// root's: members pass and read.
func (h Host) fresh(key ident.Key) (*os.Root, error) {
	if err := h.Unmount(key); err != nil {
		return nil, err
	}
	run, err := os.OpenRoot(h.RunDir)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	at := ""
	for part := range strings.SplitSeq(contract.ViewParts(key), "/") {
		at = path.Join(at, part)
		if err := run.Mkdir(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("cannot make the directory of the view: %w", err)
		}
		if err := run.Chmod(at, 0o755); err != nil {
			return nil, err
		}
	}
	return run.OpenRoot(at)
}

// share makes metadata and mount and gives the image's ID. The error is an *unshared where
// the slow way helps.
func (h Host) share(dir *os.Root, key ident.Key, r contract.ViewRequest) (string, error) {
	if !r.Share {
		return "", &unshared{fmt.Errorf("share is false in [images] of %s", contract.PolicyFile)}
	}
	store, err := imagestore.Open(h.Store)
	if err != nil {
		return "", slowly(err)
	}
	defer store.Close()
	image, err := h.wanted(key, r, store)
	if err != nil {
		return "", slowly(err)
	}
	uids, gids, err := h.mappings(key, r)
	if err != nil {
		return "", err
	}
	meta, err := store.View(image, uids.storage, gids.storage)
	if err != nil {
		return "", slowly(err)
	}
	if err := writeMetadata(dir, image.ID, meta); err != nil {
		return "", err
	}
	if err := h.mountLayers(dir, uids.mount, gids.mount); err != nil {
		return "", slowly(err)
	}
	return image.ID, nil
}

// slowly marks the errors that a copy of the image gets around.
func slowly(err error) error {
	if errors.Is(err, imagestore.ErrNotFound) || errors.Is(err, imagestore.ErrFormat) || errors.Is(err, errNoIDMap) {
		return &unshared{err}
	}
	return err
}

// mappings reads who has which ids.
func (h Host) mappings(key ident.Key, r contract.ViewRequest) (uids, gids ids, err error) {
	info, err := os.Lstat(h.Store)
	if err != nil {
		return uids, gids, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 || !info.IsDir() {
		return uids, gids, fmt.Errorf("%s must be a directory of %s's", h.Store, imagestore.Account)
	}
	keptUID, keptGID := uint32(1000), uint32(100)
	if r.Mapping == contract.MapHost {
		keptUID, keptGID = r.UID, r.GID
	}
	if uids, err = h.mapping("subuid", owner.Uid, key.User, r.UID, r.UID, keptUID); err != nil {
		return uids, gids, err
	}
	gids, err = h.mapping("subgid", owner.Gid, key.User, r.UID, r.GID, keptGID)
	return uids, gids, err
}

func (h Host) mapping(file string, keeperID uint32, member ident.User, memberUID, memberID, kept uint32) (ids, error) {
	keeper, err := h.ranges(file, imagestore.Account, keeperID)
	if err != nil {
		return ids{}, err
	}
	own, err := h.ranges(file, member.String(), memberUID)
	if err != nil {
		return ids{}, err
	}
	return combine(keeper, own, keeperID, memberID, kept), nil
}

func (h Host) ranges(file, name string, uid uint32) (IDMap, error) {
	f, err := os.Open(path.Join(h.EtcDir, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return subordinate(f, name, uid)
}

// writeMetadata writes what Podman reads of an image store.
func writeMetadata(dir *os.Root, id string, meta imagestore.View) error {
	images := path.Join("overlay-images", id)
	for _, d := range []string{"overlay", "overlay-layers", "overlay-images", images} {
		if err := errors.Join(dir.Mkdir(d, 0o755), dir.Chmod(d, 0o755)); err != nil {
			return err
		}
	}
	files := map[string][]byte{
		"overlay-layers/layers.json": meta.Layers, "overlay-layers/layers.lock": nil,
		"overlay-images/images.json": meta.Images, "overlay-images/images.lock": nil,
	}
	for name, data := range meta.Data {
		files[path.Join(images, name)] = data
	}
	for name, data := range files {
		if err := write(dir, name, data); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file that everyone may read, whatever the caller's umask is.
func write(dir *os.Root, name string, data []byte) error {
	if err := errors.Join(dir.WriteFile(name, data, 0o644), dir.Chmod(name, 0o644)); err != nil {
		return fmt.Errorf("cannot write %s of the view: %w", name, err)
	}
	return nil
}

// mountLayers mounts the directory of the store's layers.
func (h Host) mountLayers(dir *os.Root, uids, gids IDMap) error {
	source, err := nofollow.Directory(path.Join(h.Store, "overlay"))
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s may be entered by others than its owner\nhint: chmod 0700 %s", source.Name(),
			source.Name())
	}
	target, err := dir.OpenFile("overlay", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	return attach(source, target, uids, gids)
}

// settings writes the unit's storage.conf(5), the name of the image that it runs and, if it
// is not shared, why.
func (h Host) settings(dir *os.Root, key ident.Key, r contract.ViewRequest, image, slow string) error {
	own := contract.Storage{Graph: contract.UserStorage(key.User), Run: contract.RunRoot(r.UID)}
	if slow == "" {
		own.Additional = []string{path.Join(h.RunDir, contract.ViewParts(key))}
	}
	return errors.Join(write(dir, contract.StorageConfName, own.Conf("gifford-view")),
		write(dir, contract.ImageEnvName, []byte(contract.EnvImage+"="+image+"\n"+contract.EnvSlow+"="+oneLine(slow)+"\n")))
}

// oneLine makes a text that systemd reads back from an environment file as it is
// (systemd.exec(5), EnvironmentFile=).
func oneLine(s string) string {
	if s == "" {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune("\"'\\$`", r) {
			return ' '
		}
		return r
	}, s)
	return `"` + s + `"`
}

// request reads what the launcher has left for this server, in a directory of root's alone.
func (h Host) request(key ident.Key) (contract.ViewRequest, error) {
	data, err := os.ReadFile(path.Join(h.RunDir, contract.ViewRequestName(key)))
	if err != nil {
		return contract.ViewRequest{}, fmt.Errorf("nobody has asked for a view for server %s: %w\nhint: servers are "+
			"started by the launcher", key, err)
	}
	r, err := contract.ReadViewRequest(data)
	if err != nil {
		return r, fmt.Errorf("cannot use the request for server %s: %w", key, err)
	}
	return r, nil
}

// record notes, for the keeper and the launcher, that an image is needed.
func (h Host) record(dir, name, image string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return errors.Join(root.Chmod(".", 0o755), write(root, name, []byte(image+"\n")))
}
