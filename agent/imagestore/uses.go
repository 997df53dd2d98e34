package imagestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LockName is the file below the launcher's "images" directory whose lock prevents the
// removal of images while a view of one is made.
const LockName = "lock"

// Uses returns who needs which image, by its ID: units that run, from the launcher's run directory, and persistent
// containers ("alice/_.lab"), from its state directory.
func Uses(runDir, stateDir string) (map[string][]string, error) {
	uses := map[string][]string{}
	for _, dir := range []string{runDir, stateDir} {
		top := filepath.Join(dir, "images")
		err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && (d.IsDir() || d.Name() == LockName) {
				return nil
			} else if err != nil {
				return err
			}
			data, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it has just ended
			} else if err != nil {
				return err
			}
			if id := strings.TrimSpace(string(data)); IsID(id) {
				who, _ := filepath.Rel(top, name)
				uses[id] = append(uses[id], who)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot find out which images are in use: %w", err)
		}
	}
	return uses, nil
}

// Size returns the bytes of all layers, unpacked.
func (s *Store) Size() int64 {
	var sum int64
	for _, l := range s.layers {
		sum += l.number("diff-size")
	}
	return sum
}

// Layer is one layer of an image.
type Layer struct {
	ID     string
	Digest string // of the unpacked layer
	Size   int64  // bytes, unpacked
}

// LayersOf returns the layers of an image, the lowest first.
func (s *Store) LayersOf(img Image) []Layer {
	var all []Layer
	for i := len(img.Layers) - 1; i >= 0; i-- {
		all = append(all, s.layer(img.Layers[i]))
	}
	return all
}

func (s *Store) layer(id string) Layer {
	l := s.layers[id]
	return Layer{id, l.text("diff-digest"), l.number("diff-size")}
}

// chain returns the layers from one down, the lowest first.
func (s *Store) chain(top string) []Layer {
	var all []Layer
	for id := top; id != "" && len(all) < maxDeep; id = s.layers[id].text("parent") {
		if _, ok := s.layers[id]; !ok {
			break
		}
		all = append(all, s.layer(id))
	}
	slices.Reverse(all)
	return all
}

// Orphans returns the chains of layers of which the uppermost belongs to no image, as a
// pull that failed half-way leaves them: each with the lowest first.
func (s *Store) Orphans() [][]Layer {
	known := map[string]bool{} // has an image, or another layer on top
	for _, o := range s.images {
		for _, top := range append(o.texts("mapped-layers"), o.text("layer")) {
			for _, l := range s.chain(top) {
				known[l.ID] = true
			}
		}
	}
	for _, l := range s.layers {
		known[l.text("parent")] = true
	}
	var chains [][]Layer
	for id := range s.layers {
		if !known[id] {
			chains = append(chains, s.chain(id))
		}
	}
	return chains
}
