package view

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// fresh makes the server's empty directory, after removing whatever an earlier view left. All of it is root's: members
// pass and read.
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

// settings writes the unit's storage.conf(5), the name of the image that it runs and, if it is not shared, why.
func (h Host) settings(dir *os.Root, key ident.Key, r contract.ViewRequest, image, slow string) error {
	own := contract.Storage{Graph: contract.UserStorage(key.User), Run: contract.RunRoot(r.UID)}
	if slow == "" {
		own.Additional = []string{path.Join(h.RunDir, contract.ViewParts(key))}
	}
	variables := contract.EnvImage + "=" + image + "\n" + contract.EnvSlow + "=" + quoted(slow) + "\n"
	return errors.Join(write(dir, contract.StorageConfName, own.Conf("gifford-view")),
		write(dir, contract.ImageEnvName, []byte(variables)))
}

// quoted makes of a text a value that systemd reads back from an environment file (systemd.exec(5), EnvironmentFile=),
// with blanks for what would end it or mean something in it.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune("\"'\\$`", r) {
			return ' '
		}
		return r
	}, s) + `"`
}

// write writes a file that everyone may read, whatever the caller's umask is.
func write(dir *os.Root, name string, data []byte) error {
	if err := errors.Join(dir.WriteFile(name, data, 0o644), dir.Chmod(name, 0o644)); err != nil {
		return fmt.Errorf("cannot write %s of the view: %w", name, err)
	}
	return nil
}
