package keeper

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
)

// adopter writes an oci-archive, and gives the ID, of an image that is made of layers which
// the store has already. Podman has no way to remove a layer that belongs to no image: loading this
// gives it an image, whose removal takes the layers along. The archive has no layers in
// it, since Podman does not read what it finds in its store.
func adopter(layers []imagestore.Layer, w io.Writer) (id string, err error) {
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int64  `json:"size"`
	}
	var digests []string
	var below []descriptor
	for _, l := range layers {
		if l.Digest == "" {
			return "", fmt.Errorf("layer %s of the store has no digest", l.ID)
		}
		digests = append(digests, l.Digest)
		below = append(below, descriptor{"application/vnd.oci.image.layer.v1.tar", l.Digest, l.Size})
	}
	out := tar.NewWriter(w)
	put := func(name string, body []byte) error {
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
			return err
		}
		_, err := out.Write(body)
		return err
	}
	blob := func(kind string, v any) (descriptor, error) {
		body, err := json.Marshal(v)
		sum := sha256.Sum256(body)
		name := hex.EncodeToString(sum[:])
		if err == nil {
			err = put("blobs/sha256/"+name, body)
		}
		return descriptor{kind, "sha256:" + name, int64(len(body))}, err
	}
	config, err := blob("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": "unknown", "os": "linux",
		"config": map[string]any{"Labels": map[string]string{"giffordlab.org/orphan": "true"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	})
	if err != nil {
		return "", err
	}
	manifest, err := blob("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
		"layers": below,
	})
	if err != nil {
		return "", err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	if err != nil {
		return "", err
	}
	if err := put("index.json", index); err != nil {
		return "", err
	}
	if err := put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return "", err
	}
	return strings.TrimPrefix(config.Digest, "sha256:"), out.Close()
}

// removeOrphans removes layers that belong to no image. k.writing is held: nothing else
// brings layers meanwhile.
func (k *Keeper) removeOrphans(ctx context.Context) error {
	store, err := k.store()
	if err != nil {
		return err
	}
	chains := store.Orphans()
	store.Close()
	for _, chain := range chains {
		var archive bytes.Buffer
		id, err := adopter(chain, &archive)
		if err == nil {
			_, err = k.cfg.Podman.load(ctx, &archive)
		}
		if err == nil {
			err = k.cfg.Podman.remove(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("cannot remove layer %.12s, which belongs to no image: %w", chain[len(chain)-1].ID, err)
		}
		k.cfg.Log.Info("removed layers that were left behind", "event", "layers-removed", "layers", len(chain))
	}
	return nil
}

// Tidy removes what a keeper that was killed has left behind.
func (k *Keeper) Tidy() {
	k.wg.Go(func() {
		k.writing.Lock()
		defer k.writing.Unlock()
		if err := k.removeOrphans(k.ctx); err != nil {
			k.cfg.Log.Warn("cannot remove what was left behind", "event", "images-left", "error", err)
		}
	})
}
