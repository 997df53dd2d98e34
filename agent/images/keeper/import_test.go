package keeper

import (
	"io"
	"strings"
	"testing"
)

// TestPullDuringImport checks that an import gives the name that its archive brings back to the image that a pull gave
// that name meanwhile.
func TestPullDuringImport(t *testing.T) {
	r := newRig(t)
	r.pulled(t, "localhost/theirs:1", id(7))
	archive := tarball(t, "manifest.json", "["+strings.Repeat(" ", 1<<20)+"]")
	r.podman.archive[strings.TrimSpace(archive)] = "localhost/theirs:1 " + id(1)
	in, out := io.Pipe()
	j, err := r.Import(t.Context(), "localhost/mine:1", in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(out, archive[:len(archive)-512]); err != nil {
		t.Fatal(err)
	}
	r.pulled(t, "localhost/theirs:1", id(8))
	if _, err := io.WriteString(out, archive[len(archive)-512:]); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if p := last(t, j, nil); p.ID != id(1) {
		t.Errorf("ended with %+v", p)
	}
	r.want(t, "01 localhost/mine:1", "08 localhost/theirs:1", "07  localhost/theirs:1")
}
