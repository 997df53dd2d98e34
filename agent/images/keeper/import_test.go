package keeper

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containers/image/v5/pkg/compression"
)

// entry is a file of a test's archive.
type entry struct {
	name, text string
	kind       byte // tar.TypeReg if 0
	link       string
}

func pack(t testing.TB, entries ...entry) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.text)), Mode: 0o600}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// held is an image that a docker-archive holds.
func held(n int, tags ...string) dockerItem {
	return dockerItem{Config: id(n) + ".json", RepoTags: tags, Layers: []string{id(n) + ".tar"}}
}

// description is the manifest.json of a docker-archive.
func description(t testing.TB, items ...dockerItem) entry {
	t.Helper()
	text, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	return entry{name: "manifest.json", text: string(text)}
}

// docker returns a docker-archive as "podman save" writes it: its description comes last.
func docker(t testing.TB, items ...dockerItem) string {
	t.Helper()
	var entries []entry
	for _, item := range items {
		entries = append(entries, entry{name: item.Layers[0], text: "layer"}, entry{name: item.Config, text: "{}"})
	}
	return pack(t, append(entries, description(t, items...), entry{name: "repositories", text: "{}"})...)
}

// oci returns an oci-archive with those index entries.
func oci(t testing.TB, manifests string) string {
	t.Helper()
	return pack(t, entry{name: "blobs/sha256/" + id(1), text: "blob"},
		entry{name: "index.json", text: `{"schemaVersion":2,"manifests":[` + manifests + `]}`},
		entry{name: "oci-layout", text: `{"imageLayoutVersion":"1.0.0"}`})
}

const ociImage = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:aa","size":3,` +
	`"PLATFORM":{},"annotations":{"org.opencontainers.image.ref.name":"localhost/prod:1"},` +
	`"Annotations":{"io.containerd.image.name":"localhost/prod:2"}}`

// hostile are archives that are refused before Podman loads anything, with what the refusal says.
func hostile(t testing.TB) map[string]struct{ archive, want string } {
	t.Helper()
	config, layer := entry{name: id(1) + ".json"}, entry{name: id(1) + ".tar"}
	one := description(t, held(1, "localhost/prod:1"))
	with := func(more ...entry) string { return pack(t, append([]entry{layer, config, one}, more...)...) }
	deep := strings.Repeat("a/", 9) + "b"
	many := make([]entry, maxEntries+1)
	for i := range many {
		many[i] = entry{name: "manifest.json/", kind: tar.TypeDir}
	}
	return map[string]struct{ archive, want string }{
		"two images": {docker(t, held(1, "localhost/prod:1"), held(2, "localhost/prod:2")),
			"2 images; one is needed: localhost/prod:1, localhost/prod:2"},
		"two tags": {docker(t, held(1, "localhost/prod:1", "localhost/prod:2")),
			"2 names for its image; one at most is needed: localhost/prod:1, localhost/prod:2"},
		"no image":   {pack(t, layer, entry{name: "manifest.json", text: "[]"}), "0 images"},
		"two in OCI": {oci(t, ociImage+","+ociImage), "2 images; one is needed"},
		"no name":    {docker(t, held(1, "UPPER CASE:1")), `"UPPER CASE:1", which is no image name`},
		"bad JSON":   {pack(t, layer, entry{name: "manifest.json", text: "{"}), "cannot read manifest.json"},
		"bad index": {pack(t, entry{name: "oci-layout"}, entry{name: "index.json", text: "[]"}),
			"cannot read index.json"},
		"huge description": {pack(t, layer, entry{name: "manifest.json", text: strings.Repeat(" ", maxDescription+1)}),
			"manifest.json of the archive has 4.0 MB"},
		"second description": {with(description(t, held(2, "localhost/prod:2"))), `"manifest.json" twice`},
		"the same otherwise": {with(entry{name: ".//manifest.json", text: "[]"}), `"manifest.json" twice`},
		"a layer twice":      {with(layer), "twice"},
		"below a file":       {with(entry{name: id(1) + ".tar/x"}), "as a file and as a directory"},
		"file above a file":  {with(entry{name: "a/b"}, entry{name: "a"}), `"a" twice`},
		"deep":               {with(entry{name: deep}), "8 directories deep"},
		"long name":          {with(entry{name: strings.Repeat("x", maxEntryName+1)}), "a name of 513 bytes"},
		"above the archive":  {with(entry{name: "a/../../etc/passwd"}), "a/../../etc/passwd"},
		"absolute":           {with(entry{name: "/etc/passwd"}), "/etc/passwd"},
		"newline":            {with(entry{name: "a\nb"}), `a\nb`},
		"link": {with(entry{name: "x", kind: tar.TypeSymlink, link: "/etc/passwd"}),
			"a link or a device"},
		"link up": {with(entry{name: id(3) + "/layer.tar", kind: tar.TypeSymlink, link: "../../" + id(1) + ".tar"}),
			"a link or a device"},
		"hard link": {with(entry{name: "x", kind: tar.TypeLink, link: "y"}), "a link or a device"},
		"device":    {with(entry{name: "x", kind: tar.TypeChar}), "a link or a device"},
		"FIFO":      {with(entry{name: "x", kind: tar.TypeFifo}), "a link or a device"},
		"cut off":   {docker(t, held(1))[:1200], "cannot read the archive"},
		"many":      {pack(t, append([]entry{layer}, many...)...), "more than 20000 entries"},
	}
}

// TestHostileArchives checks that a refused archive changes no name and leaves nothing, before and after the name of
// its image was another's.
func TestHostileArchives(t *testing.T) {
	r := newRig(t)
	r.pulled(t, "localhost/prod:1", id(7))
	r.pulled(t, "localhost/prod:2", id(8))
	for what, tt := range hostile(t) {
		before := r.podman.all()
		j, err := r.Import(t.Context(), "localhost/new:1", strings.NewReader(tt.archive), noInterrupt)
		if p := last(t, j, err); !p.Failed || !strings.Contains(p.Message, tt.want) {
			t.Errorf("%s: ended with %+v, want %q", what, p, tt.want)
		}
		if after := r.podman.all(); after != before {
			t.Errorf("%s: the store is %s, was %s", what, after, before)
		}
	}
}

// all returns the images with all their names.
func (f *fake) all() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, _ := json.Marshal(f.names())
	return string(text)
}

func (f *fake) names() map[string][]string {
	all := map[string][]string{}
	for id, s := range f.images {
		all[id] = s.names
	}
	return all
}

// TestFailedLoad checks that an image which Podman has loaded before it failed does not stay, and takes no name along.
func TestFailedLoad(t *testing.T) {
	r := newRig(t)
	r.pulled(t, "localhost/prod:1", id(7))
	before := r.podman.all()
	r.podman.failAt = "load"
	j, err := r.Import(t.Context(), "localhost/new:1", strings.NewReader(docker(t, held(1, "localhost/prod:1"))),
		noInterrupt)
	if p := last(t, j, err); !p.Failed || !strings.Contains(p.Message, "no space left") {
		t.Errorf("ended with %+v", p)
	}
	if after := r.podman.all(); after != before {
		t.Errorf("the store is %s, was %s", after, before)
	}
}

// TestSieve checks that what Podman, Docker and skopeo write comes through with one image and without names.
func TestSieve(t *testing.T) {
	link := entry{name: id(3) + "/layer.tar", kind: tar.TypeSymlink, link: "../" + id(1) + ".tar"}
	bare := `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"digest":"sha256:aa","size":3,"platform":{}}]}`
	nameless := `[{"Config":"` + id(1) + `.json","RepoTags":null,"Layers":["` + id(1) + `.tar"]}]`
	two := docker(t, held(2, "localhost/b:1"), held(1, "a:1", "localhost/b:2"))
	for what, tt := range map[string]struct {
		archive string
		choose  chooser
		file    string
		want    string
		entries int
	}{
		"podman save":     {docker(t, held(1, "localhost/prod:1")), only, "manifest.json", nameless, 3},
		"without a name":  {docker(t, held(1)), only, "manifest.json", nameless, 3},
		"with old layers": {pack(t, description(t, held(1)), link), only, "manifest.json", nameless, 2},
		"skopeo copy":     {oci(t, ociImage), only, "index.json", bare, 3},
		"of a directory": {pack(t, entry{name: "./", kind: tar.TypeDir},
			entry{name: "./index.json", text: `{"schemaVersion":` +
				`2,"manifests":[` + ociImage + `]}`}), only, "index.json", bare, 1},
		"one of two, by a short name": {two, called("localhost/a:1"), "manifest.json", nameless, 5},
		"one of two":                  {two, called("localhost/b:2"), "manifest.json", nameless, 5},
		"the index has another name": {pack(t, entry{name: "index.json", text: `{"manifests":[` + ociImage + `]}`},
			description(t, held(1, "localhost/a:1"))), called("localhost/a:1"), "manifest.json", nameless, 1},
	} {
		out, err := io.ReadAll(sift(strings.NewReader(tt.archive), tt.choose))
		files := entriesOf(t, out)
		if got := string(files[tt.file]); err != nil || got != tt.want || len(files) != tt.entries {
			t.Errorf("%s: %d entries, %s is %s, %v; want %d, %s", what, len(files), tt.file, got, err, tt.entries,
				tt.want)
		}
	}
}

// TestCompressedArchives imports an archive in each form in which it may come.
func TestCompressedArchives(t *testing.T) {
	plain := docker(t, held(1, "localhost/prod:1"))
	texts := map[string]string{"plain": plain}
	for _, how := range []compression.Algorithm{compression.Gzip, compression.Zstd, compression.Xz} {
		var b bytes.Buffer
		w, err := compression.CompressStream(&b, how, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, plain); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		texts[how.Name()] = b.String()
	}
	for what, text := range texts {
		r := newRig(t)
		j, err := r.Import(t.Context(), "localhost/mine:1", strings.NewReader(text), noInterrupt)
		if p := last(t, j, err); p.ID != id(1) {
			t.Errorf("%s: ended with %+v", what, p)
		}
		r.want(t, "01 localhost/mine:1")
	}
	r := newRig(t)
	j, err := r.Import(t.Context(), "localhost/mine:1", strings.NewReader(texts["gzip"][:len(texts["gzip"])-6]),
		noInterrupt)
	if p := last(t, j, err); !p.Failed {
		t.Errorf("an archive without its checksum: %+v", p)
	}
}

// TestImportsOfOneName checks that imports whose archives call their images the same, and pulls of that name beside
// them, each get their own image.
func TestImportsOfOneName(t *testing.T) {
	r := newRig(t)
	const theirs = "localhost/theirs:1"
	r.pulled(t, theirs, id(7))
	var ends []func()
	for n, name := range map[int]string{1: "localhost/one:1", 2: "localhost/two:1"} {
		archive := docker(t, held(n, theirs))
		in, out := io.Pipe()
		j, err := r.Import(t.Context(), name, in, noInterrupt)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, func() {
			if _, err := io.WriteString(out, archive); err != nil {
				t.Error(err)
			}
			out.Close()
			if p := last(t, j, nil); p.ID != id(n) {
				t.Errorf("%s ended with %+v", name, p)
			}
		})
	}
	ends[0]()
	r.pulled(t, theirs, id(8))
	ends[1]()
	r.want(t, "01 localhost/one:1", "08 "+theirs, "02 localhost/two:1", "07  "+theirs)
}

// TestArchiveOfAProfile checks that a profile's archive brings the one image and no other name that it has.
func TestArchiveOfAProfile(t *testing.T) {
	r := newRig(t)
	file := filepath.Join(t.TempDir(), "a.tar")
	r.text += "[profile.own]\nimage = \"localhost/own:1\"\narchive = \"" + file + "\"\n"
	r.pulled(t, "localhost/prod:1", id(7))
	text := docker(t, held(1, "localhost/prod:1"), held(2, "localhost/own:1"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	j, err := r.Ensure("own")
	if p := last(t, j, err); p.ID != id(2) {
		t.Errorf("ended with %+v", p)
	}
	r.want(t, "02 localhost/own:1", "07 localhost/prod:1")
}

// FuzzSieve checks that nothing comes through with a name or with more than one image, whatever the archive.
func FuzzSieve(f *testing.F) {
	for _, tt := range hostile(f) {
		f.Add([]byte(tt.archive[:min(len(tt.archive), 8192)]))
	}
	f.Add([]byte(docker(f, held(1, "localhost/prod:1"))))
	f.Add([]byte(oci(f, ociImage)))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := io.ReadAll(sift(bytes.NewReader(data), only))
		if err != nil {
			return
		}
		files := entriesOf(t, out)
		var items []dockerItem
		if text, ok := files["manifest.json"]; ok && (json.Unmarshal(text, &items) != nil || len(items) != 1 ||
			len(items[0].RepoTags) > 0) {
			t.Errorf("manifest.json came through as %s", text)
		}
		var list ociList
		if text, ok := files["index.json"]; ok && (json.Unmarshal(text, &list) != nil || len(list.Manifests) != 1 ||
			list.Manifests[0].name() != "") {
			t.Errorf("index.json came through as %s", text)
		}
	})
}
