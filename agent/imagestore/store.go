// Package imagestore reads the metadata of the image keeper's container storage, as
// Podman 4.3 to 5 write it (containers/storage, drivers "overlay"): which images there
// are, of which layers they are made, and which metadata a reader with another id mapping
// needs. It never writes, never runs Podman and trusts nothing of what it reads:
// the store belongs to an unprivileged account.
package imagestore

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"syscall"

	"github.com/distribution/reference"
)

// Account is the owner of the store, StateDir its directory and Dir the store.
const (
	Account  = "gifford-images"
	StateDir = "/var/lib/gifford-images"
	Dir      = StateDir + "/storage"
)

// Errors for which the caller knows what to do.
var (
	// ErrNotFound says that no image of the store has that name or ID.
	ErrNotFound = errors.New("the image is not in the shared store")
	// ErrFormat says that the metadata has something that this program does not know.
	ErrFormat = errors.New("the shared store is in a format that is not known")
)

// Bounds on what is read from the store.
const (
	maxList = 32 << 20 // bytes of layers.json or images.json
	maxData = 4 << 20  // bytes of a manifest or configuration
	maxDeep = 500      // layers of an image
)

var id64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsID reports whether s has the form of an image's or layer's ID.
func IsID(s string) bool { return id64.MatchString(s) }

// Store is the image keeper's storage, opened for reading. Close it.
type Store struct {
	root   *os.Root
	images []object
	layers map[string]object
}

// object is a JSON object whose values stay as they were written.
type object map[string]json.RawMessage

// Image is one image of the store.
type Image struct {
	ID     string
	Names  []string
	Layers []string // IDs, the topmost first
	raw    object
	data   []string // names of its big data
}

// What containers/storage 1.43 (Podman 4.3) to 1.59 write of an image and of a layer.
var (
	imageKeys = []string{"id", "digest", "names", "names-history", "layer", "mapped-layers", "metadata",
		"big-data-names",
		"big-data-sizes", "big-data-digests", "created", "flags"}
	layerKeys = []string{"id", "names", "parent", "metadata", "mountlabel", "created", "compressed-diff-digest",
		"compressed-size",
		"diff-digest", "toc-digest", "diff-size", "compression", "uidset", "gidset", "flags", "uidmap", "gidmap",
		"big-data-names"}
)

// Open reads the store's lists. A store that was never written to has no images.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &Store{}, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot open the shared image store: %w", err)
	}
	s := &Store{root: root, layers: map[string]object{}}
	if s.images, err = s.list("overlay-images/images.json", imageKeys); err != nil {
		s.Close()
		return nil, err
	}
	layers, err := s.list("overlay-layers/layers.json", layerKeys)
	if err != nil {
		s.Close()
		return nil, err
	}
	for _, l := range layers {
		s.layers[l.text("id")] = l
	}
	return s, nil
}

// Close closes the store's directory.
func (s *Store) Close() {
	if s.root != nil {
		_ = s.root.Close()
	}
}

// list reads a list of objects that have an ID and known keys only.
func (s *Store) list(name string, keys []string) ([]object, error) {
	data, err := s.read(name, maxList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var all []object
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrFormat, err)
	}
	for _, o := range all {
		if !IsID(o.text("id")) {
			return nil, fmt.Errorf("%s: %w: an entry has the ID %.80q", name, ErrFormat, o.text("id"))
		}
		for key := range o {
			if !slices.Contains(keys, key) {
				return nil, fmt.Errorf("%s: %w: it has the key %.40q", name, ErrFormat, key)
			}
		}
	}
	return all, nil
}

// read reads a whole file, which must be a regular one.
func (s *Store) read(name string, limit int64) ([]byte, error) {
	f, err := s.regular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: %w: larger than %d bytes", name, ErrFormat, limit)
	}
	return data, err
}

// regular opens a regular file. Root calls it, and the image keeper can put another thing in the file's place at any
// time: it does not wait for a FIFO's writer.
func (s *Store) regular(name string) (*os.File, error) {
	info, err := s.root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file", name, ErrFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the shared image store: %w", err)
	}
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the shared image store: %w", err)
	}
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errors.Join(fmt.Errorf("%s: %w: not a regular file", name, ErrFormat), err)
	}
	return f, nil
}

func (o object) text(key string) string {
	var s string
	_ = json.Unmarshal(o[key], &s)
	return s
}

func (o object) number(key string) int64 {
	var n int64
	_ = json.Unmarshal(o[key], &n)
	return n
}

func (o object) texts(key string) []string {
	var all []string
	_ = json.Unmarshal(o[key], &all)
	return all
}

// Find returns the image of that name, such as "quay.io/jupyter/scipy-notebook:latest" or
// "name@sha256:…", or of that whole ID.
func (s *Store) Find(ref string) (Image, error) {
	if IsID(ref) {
		return s.first(func(o object) bool { return o.text("id") == ref })
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return Image{}, fmt.Errorf("image %.200q: %w", ref, err)
	}
	if d, ok := named.(reference.Digested); ok {
		return s.first(func(o object) bool { return hasDigest(o, named.Name(), d.Digest().String()) })
	}
	want := reference.TagNameOnly(named).String()
	return s.first(func(o object) bool { return slices.Contains(o.texts("names"), want) })
}

// hasDigest reports whether an image of that repository came with the manifest: by its
// name, or by its digest where a tag of the repository stands beside it.
func hasDigest(o object, repository, digest string) bool {
	for _, n := range o.texts("names") {
		named, err := reference.ParseNormalizedNamed(n)
		if err != nil || named.Name() != repository {
			continue
		}
		if d, ok := named.(reference.Digested); ok && d.Digest().String() == digest || o.text("digest") == digest ||
			slices.Contains(o.texts("big-data-names"), "manifest-"+digest) {
			return true
		}
	}
	return false
}

func (s *Store) first(match func(object) bool) (Image, error) {
	i := slices.IndexFunc(s.images, match)
	if i < 0 {
		return Image{}, ErrNotFound
	}
	return s.image(s.images[i])
}

// image follows the layers down. An image with a layer missing or half written is ErrNotFound.
func (s *Store) image(o object) (Image, error) {
	img := Image{ID: o.text("id"), Names: o.texts("names"), raw: o, data: o.texts("big-data-names")}
	for next := o.text("layer"); next != ""; {
		l, ok := s.layers[next]
		if !ok || len(img.Layers) == maxDeep || incomplete(l) {
			return Image{}, fmt.Errorf("image %.12s: layer %.12s is not whole: %w", img.ID, next, ErrNotFound)
		}
		img.Layers = append(img.Layers, next)
		next = l.text("parent")
	}
	if len(img.Layers) == 0 {
		return Image{}, fmt.Errorf("image %.12s has no layer: %w", img.ID, ErrNotFound)
	}
	return img, nil
}

// incomplete reports whether a layer was being written when its writer ended.
func incomplete(l object) bool {
	var flags map[string]any
	_ = json.Unmarshal(l["flags"], &flags)
	return flags["incomplete"] == true
}

// Map is a piece of an id mapping, as containers/storage writes it.
type Map struct {
	ContainerID int64 `json:"container_id"`
	HostID      int64 `json:"host_id"`
	Size        int64 `json:"size"`
}

// View is the metadata by which Podman takes one image of the store for one whose layers
// have a mapping already.
type View struct {
	Layers []byte            // overlay-layers/layers.json
	Images []byte            // overlay-images/images.json
	Data   map[string][]byte // files of overlay-images/ID
}

// View makes the metadata for a reader whose containers map ids so.
func (s *Store) View(img Image, uids, gids []Map) (View, error) {
	v := View{Data: map[string][]byte{}}
	var layers []object
	for _, id := range slices.Backward(img.Layers) {
		layer := object{}
		for key, value := range s.layers[id] {
			layer[key] = value
		}
		delete(layer, "names")
		layer["uidmap"], layer["gidmap"] = raw(uids), raw(gids)
		layers = append(layers, layer)
	}
	image := object{}
	for key, value := range img.raw {
		image[key] = value
	}
	// Copies with other mappings are the image keeper's own.
	delete(image, "mapped-layers")
	v.Layers, v.Images = raw(layers), raw([]object{image})
	for _, name := range img.data {
		file := dataFile(name)
		data, err := s.read(path.Join("overlay-images", img.ID, file), maxData)
		if err != nil {
			return View{}, err
		}
		v.Data[file] = data
	}
	return v, nil
}

// raw marshals what cannot fail.
func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps, slices and numbers only
	}
	return b
}

var plainName = regexp.MustCompile(`^[a-z0-9.]+$`)

// dataFile is the file name that containers/storage uses for a piece of big data: a name with other
// than small letters, digits and dots is in base64 after "=".
func dataFile(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "=" + base64.StdEncoding.EncodeToString([]byte(name))
}
