package keeper

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
)

func archive(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		h := &tar.Header{Name: n, Mode: 0o644}
		if strings.HasSuffix(n, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSaved(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	tests := map[string]struct {
		first []string
		want  bool
	}{
		"podman save":                 {[]string{hex + ".tar", hex + ".json", "manifest.json"}, true},
		"podman save, of directories": {[]string{hex + "/", hex + "/layer.tar"}, true},
		"ours":                        {[]string{"manifest.json"}, true},
		"docker save":                 {[]string{"blobs/", "blobs/sha256/", "index.json"}, true},
		"oci-archive":                 {[]string{"blobs/sha256/" + hex, "index.json", "oci-layout"}, true},
		"tar of an OCI directory":     {[]string{"./", "./index.json", "./oci-layout"}, true},
		"a root file system":          {[]string{"bin/", "etc/", "usr/"}, false},
		"tar of one":                  {[]string{"./", "./bin/"}, false},
		"with such a directory":       {[]string{"blobs.d/"}, false},
	}
	for name, tt := range tests {
		plain := archive(t, tt.first...)
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(plain)
		_ = w.Close()
		for kind, data := range map[string][]byte{"plain": plain, "gzip": packed.Bytes()} {
			image, whole, err := saved(bytes.NewReader(data))
			if err != nil || image != tt.want {
				t.Errorf("%s, %s: Saved = %t, %v", name, kind, image, err)
				continue
			}
			if got, err := io.ReadAll(whole); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %s: %d of %d bytes came through: %v", name, kind, len(got), len(plain), err)
			}
			_ = whole.Close()
		}
	}
}

func FuzzSaved(f *testing.F) {
	f.Add([]byte("this is no archive"))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, whole, err := saved(bytes.NewReader(data)); err == nil {
			_ = whole.Close()
		}
	})
}
