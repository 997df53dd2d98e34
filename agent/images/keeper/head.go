package keeper

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/containers/image/v5/pkg/compression"
)

// headSize is how much of an archive is read to recognise it, in bytes. Its first name is in the first kilobyte; a
// compressed block may be larger.
const headSize = 1 << 20

// savedFirst are names with which the archives begin that "podman save" and "docker save"
// write: the description, or a layer or configuration named by its digest.
var savedFirst = regexp.MustCompile(`^(manifest\.json|repositories|oci-layout|index\.json|blobs/?$|blobs/sha256.*|` +
	`[0-9a-f]{64}(\.tar|\.json|/.*)?)$`)

// saved reports whether an archive, which may be compressed, is one that Podman loads; if
// not, it is the root file system of an image. The reader that it returns has all of it, not compressed:
// Podman 4.3 cannot load a compressed docker-archive. Close it.
func saved(archive io.Reader) (image bool, whole io.ReadCloser, err error) {
	buffered := bufio.NewReaderSize(archive, headSize)
	head, err := buffered.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, nil, fmt.Errorf("cannot read the archive: %w", err)
	}
	name, err := firstName(head)
	if err != nil {
		return false, nil, fmt.Errorf("this is no tar archive, neither plain nor compressed with gzip, xz, zstd or "+
			"bzip2: %w", err)
	}
	plain, _, err := compression.AutoDecompress(buffered)
	if err != nil {
		return false, nil, err
	}
	return savedFirst.MatchString(name), readCloser{plain, plain}, nil
}

// readCloser has no other methods of its parts: the WriteTo of pgzip, which io.Copy prefers, panics if somebody has
// read the first bytes by Read.
type readCloser struct {
	io.Reader
	io.Closer
}

func firstName(head []byte) (string, error) {
	plain, _, err := compression.AutoDecompress(bytes.NewReader(head))
	if err != nil {
		return "", err
	}
	defer func() { _ = plain.Close() }()
	for entries := tar.NewReader(plain); ; {
		h, err := entries.Next()
		if err != nil {
			return "", err
		}
		if name := strings.TrimPrefix(h.Name, "./"); name != "" {
			return name, nil
		}
		// "./" is how "tar -C DIRECTORY ." begins; an archive of images may begin so too.
	}
}
