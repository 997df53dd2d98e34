package keeper

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// fake is a Podman whose store is two lists of the form that the real one writes. It can
// be made to fail where the real one cannot; end-to-end tests use the real one.
type fake struct {
	t     *testing.T
	dir   string // of the store
	brake chan struct{}

	mu       sync.Mutex // guards all below
	images   map[string]*summary
	registry map[string]string // ID that a name has at the registry
	failAt   string            // "pull" or "load": after the image has come
	pulls    int
	brakes   map[string]func() // called once at the beginning of a pull of that name
}

func id(n int) string { return strings.Repeat(fmt.Sprintf("%02x", n), 32) }

func (f *fake) put(names []string, id string) {
	for _, s := range f.images {
		s.names = slices.DeleteFunc(s.names, func(n string) bool { return slices.Contains(names, n) })
	}
	if f.images[id] == nil {
		f.images[id] = &summary{id: id, digest: "sha256:" + id, size: 100, created: time.Unix(1, 0).UTC()}
	}
	f.images[id].names = append(f.images[id].names, names...)
	f.write()
}

// write leaves the store's lists for agent/imagestore.
func (f *fake) write() {
	layers, images := []map[string]any{}, []map[string]any{}
	for _, s := range f.images {
		layers = append(layers, map[string]any{"id": s.id, "diff-size": s.size})
		images = append(images, map[string]any{"id": s.id, "names": s.names, "layer": s.id})
	}
	for name, list := range map[string]any{"overlay-layers/layers.json": layers, "overlay-images/images.json": images} {
		data, _ := json.Marshal(list)
		name = filepath.Join(f.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *fake) pull(_ context.Context, name string, each func(layerStep)) error {
	f.mu.Lock()
	brake := f.brakes[name]
	delete(f.brakes, name)
	f.mu.Unlock()
	if f.brake != nil {
		<-f.brake
	}
	if brake != nil {
		brake()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulls++
	id, ok := f.registry[name]
	if !ok {
		return errors.New("manifest unknown")
	}
	each(layerStep{Layer: "aaaa", Status: "Downloading", Current: 5, Total: 10})
	f.put([]string{name}, id)
	if f.failAt == "pull" {
		return errors.New("no space left on device")
	}
	return nil
}

// load loads the images of a docker-archive as Podman does: all of them, with all their names, after all of the archive
// has come. An image's ID is the name of its configuration.
func (f *fake) load(_ context.Context, archive io.Reader) (string, error) {
	text, err := io.ReadAll(archive)
	if err != nil {
		return "", err
	}
	var items []dockerItem
	if err := json.Unmarshal(entriesOf(f.t, text)["manifest.json"], &items); err != nil || len(items) == 0 {
		return "", errors.New("payload does not match any of the supported image formats")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, item := range items {
		f.put(item.RepoTags, strings.TrimSuffix(item.Config, ".json"))
	}
	if f.failAt == "load" {
		return "", errors.New("no space left on device")
	}
	return strings.TrimSuffix(items[0].Config, ".json"), nil
}

// entriesOf returns the files of a tar.
func entriesOf(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := r.Next()
		if err != nil {
			return files
		}
		files[h.Name], _ = io.ReadAll(r)
	}
}

func (f *fake) importRoot(_ context.Context, archive io.Reader) (string, error) {
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(nil, id(99))
	return id(99), nil
}

func (f *fake) list(context.Context) ([]summary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []summary
	for _, s := range f.images {
		c := *s
		c.names = slices.Clone(s.names)
		all = append(all, c)
	}
	return all, nil
}

func (f *fake) inspect(context.Context, string) (config, error) {
	return config{user: "1000", command: []string{"jupyterhub-singleuser"}}, nil
}

func (f *fake) tag(_ context.Context, id, repository, tag string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.images[id] == nil {
		return errors.New("no such image")
	}
	f.put([]string{repository + ":" + tag}, id)
	return nil
}

func (f *fake) untag(_ context.Context, id, repository, tag string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.images[id] == nil || !slices.Contains(f.images[id].names, repository+":"+tag) {
		return fmt.Errorf("%s:%s: no such name", repository, tag)
	}
	f.images[id].names = slices.DeleteFunc(f.images[id].names, func(n string) bool { return n == repository+":"+tag })
	f.write()
	return nil
}

func (f *fake) remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.images[id] == nil {
		return errors.New("no such image")
	}
	delete(f.images, id)
	f.write()
	return nil
}

func noInterrupt() {}

// rig is a Keeper over a fake.
type rig struct {
	*Keeper
	podman *fake
	text   string // the policy
	run    string // the launcher's run directory
}

const name = "quay.io/lab/notebook:latest"

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{run: filepath.Join(dir, "run"), text: `
[images]
allow = ["quay.io/other/*", "localhost/*"]
min_free = "1K"
[profile.lab]
image = "quay.io/lab/notebook"
default = true
[profile.never]
image = "localhost/never:1"
pull = "never"
`}
	r.podman = &fake{t: t, dir: filepath.Join(dir, "state", "storage"), images: map[string]*summary{},
		registry: map[string]string{}, brakes: map[string]func(){}}
	if err := errors.Join(os.MkdirAll(filepath.Join(r.run, "images"), 0o755), os.MkdirAll(r.podman.dir, 0o755),
		os.WriteFile(filepath.Join(r.run, "images", "lock"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	r.Keeper = New(t.Context(), Config{Podman: r.podman, Policy: func() (*policy.Policy,
		error) {
		return policy.Parse("launcher.toml", []byte(r.text))
	},
		StateDir: filepath.Join(dir, "state"), LauncherRun: r.run, LauncherState: filepath.Join(dir, "none"),
		Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(r.Wait)
	return r
}

// use lets a unit run on an image.
func (r *rig) use(t *testing.T, unit, id string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.run, "images", unit), []byte(id+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
