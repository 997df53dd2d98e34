package view

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// persistentRecord names the file, below StateDir, with the image that a persistent container was made from. It
// outlives the server.
func persistentRecord(key ident.Key, r contract.ViewRequest) (dir, name string) {
	parts := contract.SocketDirParts(key)
	return path.Join("images", parts[1]), parts[2] + "." + r.Persistent
}

// wanted is the image to use: the one of the persistent container, or the profile's.
func (h Host) wanted(key ident.Key, r contract.ViewRequest, store *imagestore.Store) (imagestore.Image, error) {
	if r.Persistent == "" {
		return store.Find(r.Image)
	}
	dir, name := persistentRecord(key, r)
	data, err := os.ReadFile(path.Join(h.StateDir, dir, name))
	id := strings.TrimSpace(string(data))
	if err != nil || !imagestore.IsID(id) {
		return store.Find(r.Image)
	}
	image, err := store.Find(id)
	if errors.Is(err, imagestore.ErrNotFound) {
		_, _ = fmt.Fprintf(h.Warn, "the image %.12s, from which the persistent container was made, is no longer in "+
			"the store\n", id)
		return store.Find(r.Image)
	}
	return image, err
}

// record notes, for the image keeper and the launcher, that a server needs an image, and that its persistent container
// does.
func (h Host) record(key ident.Key, r contract.ViewRequest, image string) error {
	if err := note(path.Join(h.RunDir, "images"), key.Unit(), image); err != nil || r.Persistent == "" {
		return err
	}
	dir, name := persistentRecord(key, r)
	return note(path.Join(h.StateDir, dir), name, image)
}

func note(dir, name, image string) error {
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
