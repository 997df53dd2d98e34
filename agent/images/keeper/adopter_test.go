package keeper

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
)

// TestAdopter checks that the archive is an OCI image of those layers, whose blobs are
// what their digests say.
func TestAdopter(t *testing.T) {
	var b bytes.Buffer
	id, err := adopter([]imagestore.Layer{{ID: "base", Digest: "sha256:b", Size: 100},
		{ID: "top", Digest: "sha256:t", Size: 1}}, &b)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name], _ = io.ReadAll(r)
		sum := sha256.Sum256(files[h.Name])
		if dir, name := filepath.Split(h.Name); dir != "" && name != hex.EncodeToString(sum[:]) {
			t.Errorf("%s holds something else", h.Name)
		}
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files["blobs/sha256/"+id], &config); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sha256:b", "sha256:t"}, config.RootFS.DiffIDs); diff != "" {
		t.Errorf("diff_ids (-want +got):\n%s", diff)
	}
	if len(files) != 4 || files["oci-layout"] == nil || files["index.json"] == nil {
		t.Errorf("the archive has %d files", len(files))
	}
	if _, err := adopter([]imagestore.Layer{{ID: "x"}}, io.Discard); err == nil {
		t.Error("a layer without a digest was adopted")
	}
}
