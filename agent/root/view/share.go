package view

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// unshared says why there is no view, where a copy of the image does instead.
type unshared struct{ err error }

func (e *unshared) Error() string { return e.err.Error() }

// share makes metadata and mount and returns the image's ID. The error is an *unshared where a copy does.
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

// The member's ids in the user of docker-stacks images.
const (
	imageUID uint32 = 1000
	imageGID uint32 = 100
)

// mappings reads the subordinate ids of the keeper and of the member, and combines them for both kinds of ids.
func (h Host) mappings(key ident.Key, r contract.ViewRequest) (uids, gids ids, err error) {
	info, err := os.Lstat(h.Store)
	if err != nil {
		return uids, gids, err
	}
	owner, group := nofollow.Owner(info), nofollow.Group(info)
	if owner == 0 || owner == nofollow.InvalidUID || !info.IsDir() {
		return uids, gids, fmt.Errorf("%s must be a directory of %s's", h.Store, imagestore.Account)
	}
	innerUID, innerGID := imageUID, imageGID
	if r.Mapping == contract.MapHost {
		innerUID, innerGID = r.UID, r.GID
	}
	if uids, err = h.mapping("subuid", owner, key.User, r.UID, r.UID, innerUID); err != nil {
		return uids, gids, err
	}
	gids, err = h.mapping("subgid", group, key.User, r.UID, r.GID, innerGID)
	return uids, gids, err
}

func (h Host) mapping(file string, keeperID uint32, member ident.User, memberUID, memberID, inner uint32) (ids, error) {
	keeper, err := h.ranges(file, imagestore.Account, keeperID)
	if err != nil {
		return ids{}, err
	}
	own, err := h.ranges(file, member.String(), memberUID)
	if err != nil {
		return ids{}, err
	}
	return combine(keeper, own, keeperID, memberID, inner), nil
}

func (h Host) ranges(file, name string, uid uint32) (IDMap, error) {
	f, err := os.Open(path.Join(h.EtcDir, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return subordinate(f, name, uid)
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
		return hint.Withf(fmt.Errorf("%s may be entered by others than its owner", source.Name()), "chmod 0700 %s",
			source.Name())
	}
	target, err := dir.OpenFile("overlay", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	return h.mounts.attach(source, target, uids, gids)
}
