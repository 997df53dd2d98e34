package imagestore

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// IDs of what the tests' store holds.
var (
	base  = strings.Repeat("a1", 32)
	top   = strings.Repeat("b2", 32)
	image = strings.Repeat("c3", 32)
)

const digest = "sha256:0d87609a3721ddefe330a17b6b381903193835d5a82bf927991902cf716d0b98"

// Lists as Podman 5.4 writes them, but for the names.
var (
	goodLayers = `[{"id":"` + base +
		`","created":"2026-11-23T11:52:09.74803102Z","compressed-diff-digest":"sha256:00","compressed-size":5,` +
		`"diff-digest":"sha256:00",` +
		`"diff-size":9,"uidset":[0,1000],"gidset":[0,100]},
		{"id":"` + top + `","names":["x"],"parent":"` + base +
		`","created":"2026-11-23T11:52:10Z","compression":2,"toc-digest":"sha256:11"}]`
	goodImages = `[{"id":"` + image + `","digest":"` + digest +
		`","names":["quay.io/jupyter/scipy-notebook:latest","docker.io/library/debian:12"],"names-history":["quay.io/jupyter/scipy-notebook:latest"],
		"layer":"` + top + `","mapped-layers":["` + base + `"],"metadata":"{}","big-data-names":["sha256:` + image +
		`","manifest"],"big-data-sizes":{"manifest":4},"big-data-digests":{},"created":"2025-01-01T00:00:00Z"}]`
)

// store writes a store and gives its directory.
func store(t *testing.T, images, layers string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"overlay-images/images.json": images, "overlay-layers/layers.json": layers,
		"overlay-images/" + image + "/manifest": "{}{}", "overlay-images/" + image + "/" +
			dataFile("sha256:"+image): "config",
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	s, err := Open(store(t, goodImages, goodLayers))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tests := map[string]bool{
		"quay.io/jupyter/scipy-notebook:latest":          true,
		"quay.io/jupyter/scipy-notebook":                 true,
		"quay.io/jupyter/scipy-notebook@" + digest:       true,
		"docker.io/library/debian:12":                    true,
		"debian:12":                                      true,
		image:                                            true,
		"quay.io/jupyter/scipy-notebook:2026":            false,
		"quay.io/jupyter/base-notebook":                  false,
		"quay.io/jupyter/base-notebook@" + digest:        false,
		"quay.io/jupyter/scipy-notebook@sha256:" + image: false,
		top: false,
	}
	for ref, there := range tests {
		t.Run(ref, func(t *testing.T) {
			got, err := s.Find(ref)
			switch {
			case there && err != nil:
				t.Errorf("Find: %v", err)
			case there && (got.ID != image || !cmp.Equal(got.Layers, []string{top, base})):
				t.Errorf("found %+v", got)
			case !there && !errors.Is(err, ErrNotFound):
				t.Errorf("Find gave %+v, %v, want ErrNotFound", got, err)
			}
		})
	}
	if _, err := s.Find("UPPER CASE"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("a bad name gave %v", err)
	}
}

func TestBrokenStores(t *testing.T) {
	tests := map[string]struct {
		images, layers string
		want           error
	}{
		"unknown key of an image": {strings.Replace(goodImages, `"metadata"`, `"composefs"`, 1), goodLayers, ErrFormat},
		"unknown key of a layer":  {goodImages, strings.Replace(goodLayers, `"compression"`, `"verity"`, 1), ErrFormat},
		"no list":                 {`{"images":[]}`, goodLayers, ErrFormat},
		"no JSON":                 {goodImages, `[{`, ErrFormat},
		"an ID that is a path":    {strings.Replace(goodImages, image, "../../etc/shadow", 1), goodLayers, ErrFormat},
		"a layer is missing": {goodImages, strings.Replace(goodLayers, `"id":"`+base, `"id":"`+image, 1),
			ErrNotFound},
		"a layer is half written": {goodImages, strings.Replace(goodLayers, `"compression":2`,
			`"flags":{"incomplete":true}`, 1), ErrNotFound},
		"layers in a circle": {goodImages, strings.Replace(goodLayers, `"created":"2026-11-23T11:52:09.74803102Z"`,
			`"parent":"`+top+`"`, 1), ErrNotFound},
		"no layers": {goodImages, "[]", ErrNotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Open(store(t, tt.images, tt.layers))
			if err == nil {
				defer s.Close()
				_, err = s.Find("quay.io/jupyter/scipy-notebook:latest")
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("the error is %v, want %v", err, tt.want)
			}
		})
	}
}

// TestOrphans: two layers on base belong to no image, of which one lies on the other.
func TestOrphans(t *testing.T) {
	left, child := strings.Repeat("d4", 32), strings.Repeat("e5", 32)
	layers := strings.TrimSuffix(strings.TrimSpace(goodLayers), "]") + `,{"id":"` + left + `","parent":"` + base +
		`","diff-digest":"sha256:22","diff-size":3},{"id":"` + child + `","parent":"` + left +
		`","diff-digest":"sha256:33","diff-size":4}]`
	s, err := Open(store(t, goodImages, layers))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := [][]Layer{{{base, "sha256:00", 9}, {left, "sha256:22", 3}, {child, "sha256:33", 4}}}
	if diff := cmp.Diff(want, s.Orphans()); diff != "" {
		t.Errorf("orphans (-want +got):\n%s", diff)
	}
	if got := s.Size(); got != 16 {
		t.Errorf("the store has %d bytes, want 16", got)
	}
	whole, err := Open(store(t, goodImages, goodLayers))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if got := whole.Orphans(); got != nil {
		t.Errorf("orphans of a whole store: %v", got)
	}
}

func TestNoStore(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Find("debian:12"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find gave %v, want ErrNotFound", err)
	}
}

// TestLinkInTheStore: the store's owner could lay a link where root reads.
func TestLinkInTheStore(t *testing.T) {
	dir := store(t, goodImages, goodLayers)
	secret := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(secret, []byte("root:*"), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "overlay-images", image, "manifest")
	for _, target := range []string{secret, "../images.json"} {
		if err := errors.Join(os.Remove(manifest), os.Symlink(target, manifest)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		img, err := s.Find(image)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.View(img, nil, nil); err == nil {
			t.Errorf("a link to %s was read: %q", target, v.Data)
		}
		s.Close()
	}
}

func TestView(t *testing.T) {
	s, err := Open(store(t, goodImages, goodLayers))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	img, err := s.Find(image)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.View(img, []Map{{0, 1, 1000}, {1000, 0, 1}}, []Map{{0, 1, 100}})
	if err != nil {
		t.Fatal(err)
	}
	uids := `[{"container_id":0,"host_id":1,"size":1000},{"container_id":1000,"host_id":0,"size":1}]`
	gids := `[{"container_id":0,"host_id":1,"size":100}]`
	wantLayers := `[{"id":"` + base +
		`","created":"2026-11-23T11:52:09.74803102Z","compressed-diff-digest":"sha256:00","compressed-size":5,` +
		`"diff-digest":"sha256:00","diff-size":9,"uidset":[0,1000],"gidset":[0,100],"uidmap":` + uids +
		`,"gidmap":` + gids + `},
		{"id":"` + top + `","parent":"` + base +
		`","created":"2026-11-23T11:52:10Z","compression":2,"toc-digest":"sha256:11","uidmap":` + uids + `,"gidmap":` +
		gids + `}]`
	wantImages := strings.Replace(goodImages, `"mapped-layers":["`+base+`"],`, "", 1)
	if diff := cmp.Diff(parsed(t, wantLayers), parsed(t, string(v.Layers))); diff != "" {
		t.Errorf("layers.json (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(parsed(t, wantImages), parsed(t, string(v.Images))); diff != "" {
		t.Errorf("images.json (-want +got):\n%s", diff)
	}
	want := map[string][]byte{"manifest": []byte("{}{}"), dataFile("sha256:" + image): []byte("config")}
	if diff := cmp.Diff(want, v.Data); diff != "" {
		t.Errorf("big data (-want +got):\n%s", diff)
	}
	if strings.Contains(string(s.layers[top]["names"]), "x") == false {
		t.Error("the store itself was changed")
	}
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDataFile: the second is a name that Podman 5.4 wrote.
func TestDataFile(t *testing.T) {
	tests := map[string]string{
		"manifest": "manifest", "signature-1": "=c2lnbmF0dXJlLTE=",
		"sha256:fa697f8175728f6e70b4cc808832736fef6b0fcfebb35d6d3f7e6851ba93e36c": "" +
			"=c2hhMjU2OmZhNjk3ZjgxNzU3MjhmNmU3MGI0Y2M4MDg4MzI3MzZmZWY2YjBmY2ZlYmIzNWQ2ZDNmN2U2ODUxYmE5M2UzNmM=",
	}
	for name, want := range tests {
		if got := dataFile(name); got != want {
			t.Errorf("dataFile(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzOpen feeds lists that a keeper who was taken over could write.
func FuzzOpen(f *testing.F) {
	f.Add(goodImages, goodLayers)
	f.Add(`[null]`, `[{"id":1}]`)
	f.Fuzz(func(t *testing.T, images, layers string) {
		s, err := Open(store(t, images, layers))
		if err != nil {
			return
		}
		defer s.Close()
		for _, ref := range []string{image, "debian:12", "quay.io/jupyter/scipy-notebook@" + digest} {
			img, err := s.Find(ref)
			if err != nil {
				continue
			}
			if !IsID(img.ID) || len(img.Layers) == 0 || len(img.Layers) > maxDeep {
				t.Errorf("found %+v", img)
			}
			_, _ = s.View(img, nil, nil)
		}
	})
}
