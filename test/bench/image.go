package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// What a generated image is made of: of each 100 MB a third lies in small files, as
// Python packages do, and the rest in large ones, as libraries do. Nothing in them can be
// compressed. An image has layers besides the base.
const (
	layers     = 6
	smallFile  = 16 << 10
	largeFile  = 1 << 20
	smallShare = 3 // one byte in three
)

// base is a docker-archive with one layer, which test/images/build-image has made.
type base struct {
	layer  []byte
	config map[string]any
}

func readBase(file string) (base, error) {
	f, err := os.Open(file)
	if err != nil {
		return base{}, fmt.Errorf("the base image (BENCH_BASE): %w", err)
	}
	defer f.Close()
	var b base
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return base{}, fmt.Errorf("%s: %w", file, err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return base{}, fmt.Errorf("%s: %w", file, err)
		}
		switch {
		case h.Name == "layer.tar":
			b.layer = data
		case filepath.Ext(h.Name) == ".json" && h.Name != "manifest.json":
			if err := json.Unmarshal(data, &b.config); err != nil {
				return base{}, fmt.Errorf("%s in %s: %w", h.Name, file, err)
			}
		}
	}
	if b.layer == nil || b.config == nil {
		return base{}, fmt.Errorf("%s has no layer.tar or no settings: it is not of test/images/build-image", file)
	}
	return b, nil
}

// writeImage writes a docker-archive of about size bytes straight to a file: the base and
// generated layers on top.
func writeImage(baseFile, file, name string, size int64) (err error) {
	b, err := readBase(baseFile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return archive(f, b, name, size)
}

func archive(out io.Writer, b base, name string, size int64) error {
	w := tar.NewWriter(out)
	base := sha256.Sum256(b.layer)
	diffs, files := []string{digest(base[:])}, []string{"layer-0.tar"}
	if err := addFile(w, files[0], b.layer); err != nil {
		return err
	}
	for i := range layers {
		l := newLayer(i+1, size/layers)
		sum := sha256.New()
		file := fmt.Sprintf("layer-%d.tar", i+1)
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: l.tarSize()}); err != nil {
			return err
		}
		if err := l.write(io.MultiWriter(w, sum)); err != nil {
			return err
		}
		diffs, files = append(diffs, digest(sum.Sum(nil))), append(files, file)
	}
	b.config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffs}
	delete(b.config, "history")
	config, err := json.Marshal(b.config)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(config)
	configName := hex.EncodeToString(sum[:]) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{name}, "Layers": files}})
	if err != nil {
		return err
	}
	return errors.Join(addFile(w, configName, config), addFile(w, "manifest.json", manifest), w.Close())
}

func digest(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }

func addFile(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// layer is a tar of directories with files, whose size is known before it is written.
type layer struct {
	number       int
	small, large int // files
}

func newLayer(number int, size int64) layer {
	small := size / smallShare / smallFile
	return layer{number, int(small), int((size - small*smallFile) / largeFile)}
}

// tarSize counts a header of 512 bytes for each entry, and two empty blocks at the end;
// sizes of files are multiples of 512.
func (l layer) tarSize() int64 {
	entries := int64(l.dirs() + l.small + l.large)
	return entries*512 + int64(l.small)*smallFile + int64(l.large)*largeFile + 1024
}

const perDir = 50 // small files in a directory, about as in Python packages

func (l layer) dirs() int { return 1 + (l.small+perDir-1)/perDir }

func (l layer) write(out io.Writer) error {
	random := rand.NewChaCha8([32]byte{byte(l.number), 'b', 'e', 'n', 'c', 'h'})
	w := tar.NewWriter(out)
	root := fmt.Sprintf("opt/layer%d/", l.number)
	if err := w.WriteHeader(&tar.Header{Name: root, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		return err
	}
	content := make([]byte, largeFile)
	for i := range l.small {
		dir := fmt.Sprintf("%spackage%d/", root, i/perDir)
		if i%perDir == 0 {
			if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
				return err
			}
		}
		if err := addRandom(w, random, fmt.Sprintf("%smodule%d.py", dir, i), content[:smallFile]); err != nil {
			return err
		}
	}
	for i := range l.large {
		if err := addRandom(w, random, fmt.Sprintf("%slibrary%d.so", root, i), content); err != nil {
			return err
		}
	}
	return w.Close()
}

func addRandom(w *tar.Writer, random io.Reader, name string, buffer []byte) error {
	if _, err := io.ReadFull(random, buffer); err != nil {
		return err
	}
	return addFile(w, name, buffer)
}
