package keeper

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path"
	"regexp"
	"strings"
	"sync"
)

// Bounds on an archive of images. Those that Podman and Docker write are far below them.
const (
	maxEntries     = 20_000
	maxEntryName   = 512     // bytes
	maxEntryDepth  = 8       // directories
	maxDescription = 4 << 20 // bytes of a description, which is held in memory
	sieveChunk     = 256 << 10
)

// The only links that a docker-archive has: a layer's old place leads to its new one.
var (
	oldLayer    = regexp.MustCompile(`^[0-9a-f]{64}/layer\.tar$`)
	oldLayerFor = regexp.MustCompile(`^\.\./[0-9a-f]{64}(/layer)?\.tar$`)
)

// sieve reads an archive of images and yields the same with one image and without any name, so that Podman can load it
// and no name of the store moves. It refuses an archive before its end has been read, and Podman loads nothing before
// it has all of it.
type sieve struct {
	in     *tar.Reader
	whole  io.Reader // what in reads
	choose chooser

	ready   bytes.Buffer // yielded next
	out     *tar.Writer  // writes to ready
	body    io.Reader    // of the entry under way; nil for none
	entries int
	files   map[string]bool // names of entries that were passed on
	parents map[string]bool // directories of those
	found   [][]string      // names of the images in the descriptions
	chosen  bool            // a description has the image

	mu  sync.Mutex // guards err: whoever sends the archive reads it
	err error      // why it ended; io.EOF at its end
}

// sift returns a sieve of an archive that is not compressed.
func sift(archive io.Reader, choose chooser) *sieve {
	s := &sieve{in: tar.NewReader(archive), whole: archive, choose: choose, files: map[string]bool{},
		parents: map[string]bool{}}
	s.out = tar.NewWriter(&s.ready)
	return s
}

// Read yields the archive. After an error it returns the same again.
func (s *sieve) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ready.Len() == 0 && s.err == nil {
		s.err = s.step()
	}
	if s.ready.Len() > 0 {
		return s.ready.Read(b)
	}
	return 0, s.err
}

// refusal returns why the archive was refused or cannot be read; nil for one that ended well or has not ended.
func (s *sieve) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// step passes a piece of an entry on, or begins the next.
func (s *sieve) step() error {
	if s.body != nil {
		_, err := io.CopyN(s.out, s.body, sieveChunk)
		if errors.Is(err, io.EOF) {
			s.body, err = nil, nil
		}
		if err != nil {
			return unreadableArchive(err)
		}
		return nil
	}
	h, err := s.in.Next()
	switch {
	case errors.Is(err, io.EOF):
		return s.finish()
	case err != nil:
		return unreadableArchive(err)
	}
	if s.entries++; s.entries > maxEntries {
		return refuse("the archive has more than %d entries", maxEntries)
	}
	return s.entry(h)
}

func unreadableArchive(err error) error { return refuse("cannot read the archive: %v", err) }

// entry passes an entry's header on. Directories are left out: Podman makes those that files need.
func (s *sieve) entry(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	switch {
	case h.Typeflag == tar.TypeDir:
		return nil
	case h.Typeflag == tar.TypeSymlink && oldLayer.MatchString(name) && oldLayerFor.MatchString(h.Linkname):
	case h.Typeflag != tar.TypeReg:
		return refuse("the archive has a link or a device, %.200q; an image is made of files", name)
	}
	if err := s.once(name); err != nil {
		return err
	}
	switch name {
	case dockerManifest, ociIndex:
		return s.description(name, h.Size)
	case dockerNames:
		return nil
	}
	s.body = s.in
	return s.header(&tar.Header{Name: name, Typeflag: h.Typeflag, Linkname: h.Linkname, Mode: 0o644, Size: h.Size})
}

func (s *sieve) header(h *tar.Header) error {
	if err := s.out.WriteHeader(h); err != nil {
		return refuse("cannot pass on %.200q of the archive: %v", h.Name, err)
	}
	return nil
}

// entryName returns an entry's place in the archive.
func entryName(name string) (string, error) {
	clean := path.Clean("/" + name)[1:]
	switch {
	case len(name) > maxEntryName:
		return "", refuse("the archive has a name of %d bytes: %.60q…", len(name), name)
	case strings.Count(clean, "/") > maxEntryDepth:
		return "", refuse("the archive has a file more than %d directories deep: %.200q", maxEntryDepth, name)
	case strings.HasPrefix(name, "/") || strings.Contains("/"+name+"/", "/../") ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return "", refuse("the archive has a file with the name %.200q", name)
	}
	return clean, nil
}

// once refuses a file whose place another one has, as a file or as a directory.
func (s *sieve) once(name string) error {
	if name == "" {
		return refuse("the archive has a file without a name")
	}
	if s.files[name] || s.parents[name] {
		return refuse("the archive has %.200q twice", name)
	}
	s.files[name] = true
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if s.files[dir] {
			return refuse("the archive has %.200q as a file and as a directory", dir)
		}
		s.parents[dir] = true
	}
	return nil
}

// description passes a description on, with the chosen image alone and without names.
func (s *sieve) description(name string, size int64) error {
	if size > maxDescription {
		return refuse("%s of the archive has %s; %s at most are read", name, inUnits(uint64(size)),
			inUnits(maxDescription))
	}
	text, err := io.ReadAll(s.in)
	if err != nil {
		return unreadableArchive(err)
	}
	text, names, err := describe(name, text, s.choose)
	s.found = append(s.found, names...)
	if err != nil || text == nil {
		return err
	}
	s.chosen = true
	if err := s.header(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644,
		Size: int64(len(text))}); err != nil {
		return err
	}
	_, err = s.out.Write(text)
	return err
}

// finish ends the archive. What follows its last entry is read for the checksum of a compressed one, and not passed on.
func (s *sieve) finish() error {
	if !s.chosen {
		return errNotHeld
	}
	if _, err := io.Copy(io.Discard, s.whole); err != nil {
		return unreadableArchive(err)
	}
	if err := s.out.Close(); err != nil {
		return err
	}
	return io.EOF
}

// errNotHeld is the refusal of an archive in which no description has the image.
var errNotHeld = refuse("the archive has no image in it")
