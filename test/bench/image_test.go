package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArchive reads a generated image back as "podman load" does.
func TestArchive(t *testing.T) {
	const size = 60_000_000
	var out bytes.Buffer
	b := base{layer: []byte("a base"), config: map[string]any{"config": map[string]any{"User": "1000:100"}}}
	if err := archive(&out, b, "localhost/x:1", size); err != nil {
		t.Fatal(err)
	}
	if n := out.Len(); n < size*9/10 || n > size*11/10 {
		t.Errorf("the archive has %d bytes, want about %d", n, size)
	}
	files := entries(t, out.Bytes())
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("the manifest is %s: %v", files["manifest.json"], err)
	}
	if d := cmp.Diff([]string{"localhost/x:1"}, manifest[0].RepoTags); d != "" {
		t.Error(d)
	}
	var config struct {
		Config struct{ User string }
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil || config.Config.User != "1000:100" {
		t.Errorf("the settings are %s: %v", files[manifest[0].Config], err)
	}
	var sums []string
	for _, name := range manifest[0].Layers {
		sum := sha256.Sum256(files[name])
		sums = append(sums, digest(sum[:]))
	}
	if d := cmp.Diff(sums, config.RootFS.DiffIDs); d != "" || len(sums) != layers+1 {
		t.Errorf("%d layers\n%s", len(sums), d)
	}
	if n := len(entries(t, files["layer-3.tar"])); n < 150 {
		t.Errorf("layer 3 has %d files", n)
	}
}

func entries(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = data
	}
}
