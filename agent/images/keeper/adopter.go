package keeper

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
)

// descriptor names a blob of an OCI image (OCI image specification, descriptor.md).
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// adopter writes an oci-archive of an image that is made of layers which the store has already, and returns the image's
// ID. Podman cannot remove a layer that belongs to no image: loading this archive gives it an image, whose removal
// takes the layers along. The archive has no layers in it, since Podman does not read those that its store has.
func adopter(layers []imagestore.Layer, w io.Writer) (id string, err error) {
	var digests []string
	var blobs []descriptor
	for _, l := range layers {
		if l.Digest == "" {
			return "", fmt.Errorf("layer %s of the store has no digest", l.ID)
		}
		digests = append(digests, l.Digest)
		blobs = append(blobs, descriptor{"application/vnd.oci.image.layer.v1.tar", l.Digest, l.Size})
	}
	out := ociArchive{tar.NewWriter(w)}
	config, err := out.blob("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": "unknown", "os": "linux",
		"config": map[string]any{"Labels": map[string]string{"giffordlab.org/orphan": "true"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	})
	if err != nil {
		return "", err
	}
	manifest, err := out.blob("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
		"layers": blobs,
	})
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(config.Digest, "sha256:"), out.finish(manifest)
}

// ociArchive writes the tar of an OCI image layout.
type ociArchive struct{ *tar.Writer }

func (a ociArchive) file(name string, body []byte) error {
	if err := a.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
		return err
	}
	_, err := a.Write(body)
	return err
}

// blob writes a JSON document under its digest.
func (a ociArchive) blob(kind string, document any) (descriptor, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return descriptor{}, err
	}
	sum := sha256.Sum256(body)
	name := hex.EncodeToString(sum[:])
	return descriptor{kind, "sha256:" + name, int64(len(body))}, a.file("blobs/sha256/"+name, body)
}

// finish writes the index of the only image, and the end.
func (a ociArchive) finish(manifest descriptor) error {
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	if err != nil {
		return err
	}
	if err := a.file("index.json", index); err != nil {
		return err
	}
	if err := a.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	return a.Close()
}
