package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

var (
	layer = strings.Repeat("b2", 32)
	first = strings.Repeat("c3", 32) // the image that lab:latest is
	older = strings.Repeat("d4", 32) // one without a name
)

// fakeMounts notes what is mounted and fails as it is told.
type fakeMounts struct {
	mounted map[string]string // target -> source
	uids    IDMap
	gids    IDMap
	fails   error // of attach
	stuck   error // of detach
}

func (m *fakeMounts) attach(source, target *os.File, uids, gids IDMap) error {
	if m.fails == nil {
		m.mounted[target.Name()], m.uids, m.gids = source.Name(), uids, gids
	}
	return m.fails
}

func (m *fakeMounts) detach(target string) error {
	if m.stuck == nil {
		delete(m.mounted, target)
	}
	return m.stuck
}

// host is one in a directory of the test.
type host struct {
	Host
	t      *testing.T
	key    ident.Key
	mounts *fakeMounts
	warned bytes.Buffer
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	key, err := ident.ParseKey("alice", "gpu")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, key: key, mounts: &fakeMounts{mounted: map[string]string{}}}
	h.Host = Host{RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"),
		Store: filepath.Join(dir, "images", "storage"), EtcDir: filepath.Join(dir, "etc"), Warn: &h.warned,
		mounts: h.mounts}
	image := func(id, names string) string {
		return `{"id":"` + id + `","names":[` + names + `],"layer":"` + layer + `","big-data-names":["manifest"]}`
	}
	h.put("run/images/lock", "")
	h.put("images/storage/overlay/x", "")
	h.put("images/storage/overlay-layers/layers.json", `[{"id":"`+layer+`"}]`)
	h.put("images/storage/overlay-images/images.json",
		"["+image(first, `"localhost/lab:latest"`)+","+image(older, "")+"]")
	for _, id := range []string{first, older} {
		h.put("images/storage/overlay-images/"+id+"/manifest", "{}")
	}
	h.put("etc/subuid", "gifford-images:600000:65536\nalice:165536:65536\n")
	h.put("etc/subgid", "gifford-images:600000:65536\nalice:165536:65536\n")
	h.must(os.Chmod(filepath.Join(h.Store, "overlay"), 0o700))
	if os.Getuid() == 0 {
		h.must(os.Chown(h.Store, 990, 991))
	}
	h.ask(contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapImage, Image: "localhost/lab:latest",
		Share: true})
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) path(name string) string { return filepath.Join(filepath.Dir(h.RunDir), name) }

func (h *host) put(name, text string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.path(name)), 0o755))
	h.must(os.WriteFile(h.path(name), []byte(text), 0o644))
}

func (h *host) ask(r contract.ViewRequest) {
	h.t.Helper()
	data, err := json.Marshal(r)
	h.must(err)
	h.put("run/"+contract.ViewRequestName(h.key), string(data))
}

// read returns a file, "" if it is missing.
func (h *host) read(name string) string {
	h.t.Helper()
	data, err := os.ReadFile(h.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	return string(data)
}

const viewDir = "run/views/alice/gpu"

// TestMount makes a view and removes it.
func TestMount(t *testing.T) {
	h := newHost(t)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	h.must(h.Mount(h.key))
	if got := h.mounts.mounted[h.path(viewDir+"/overlay")]; got != filepath.Join(h.Store, "overlay") ||
		len(h.mounts.mounted) != 1 {
		t.Errorf("mounted: %v", h.mounts.mounted)
	}
	for file, want := range map[string]string{
		"/image.env":                             contract.EnvImage + "=" + first + "\n" + contract.EnvSlow + "=\n",
		"/storage.conf":                          fmt.Sprintf("additionalimagestores = [%q]", h.path(viewDir)),
		"/overlay-images/" + first + "/manifest": "{}",
		"/overlay-images/images.json":            first,
		"/overlay-layers/layers.json":            layer,
	} {
		if got := h.read(viewDir + file); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	if got := h.read("run/images/jupyter-alice:gpu.service"); got != first+"\n" {
		t.Errorf("the record of the image is %q", got)
	}
	if _, err := os.Stat(h.path("state/images")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a record of a persistent container: %v", err)
	}
	h.must(filepath.WalkDir(h.path("run/views"), func(name string, d fs.DirEntry, err error) error {
		h.must(err)
		info, err := d.Info()
		h.must(err)
		if want := map[bool]fs.FileMode{true: 0o755, false: 0o644}[d.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
		return nil
	}))
	h.put(viewDir+"/left", "")
	h.must(h.Mount(h.key))
	if _, err := os.Stat(h.path(viewDir + "/left")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what an earlier view left is still there: %v", err)
	}
	h.must(h.Unmount(h.key))
	for _, name := range []string{viewDir, "run/images/jupyter-alice:gpu.service"} {
		if _, err := os.Stat(h.path(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	h.must(h.Unmount(h.key))
}

// TestUnmountFails checks that nothing is removed from a view that is still mounted: what is below it is the store's.
func TestUnmountFails(t *testing.T) {
	h := newHost(t)
	h.must(h.Mount(h.key))
	h.mounts.stuck = errors.New("cannot unmount")
	if err := h.Unmount(h.key); !errors.Is(err, h.mounts.stuck) {
		t.Errorf("Unmount: %v", err)
	}
	for _, name := range []string{viewDir + "/image.env", "run/images/jupyter-alice:gpu.service"} {
		if h.read(name) == "" {
			t.Errorf("%s is gone", name)
		}
	}
	if err := h.Mount(h.key); !errors.Is(err, h.mounts.stuck) {
		t.Errorf("Mount over a view that is stuck: %v", err)
	}
	h.mounts.stuck = nil
	h.must(h.Unmount(h.key))
	h.must(os.MkdirAll(h.path("run/images/jupyter-alice:gpu.service/x"), 0o755))
	if err := h.Unmount(h.key); err == nil {
		t.Error("a record that cannot be removed is no error")
	}
}

// TestSlow checks when a copy of the image does instead, and what the unit is told then.
func TestSlow(t *testing.T) {
	tests := map[string]struct {
		change func(*host)
		want   string // in the reason
	}{
		"not shared": {func(h *host) {
			h.ask(contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapImage, Image: "localhost/lab:latest"})
		}, "share is false in [images] of /etc/gifford-hub/launcher.toml"},
		"no such image": {func(h *host) {
			h.ask(contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapImage, Image: "localhost/x",
				Share: true})
		}, "the image is not in the shared store"},
		"unknown format": {func(h *host) { h.put("images/storage/overlay-layers/layers.json", `{"a":"$b"}`) },
			"in a format that is not known"},
		"unknown layer": {func(h *host) { h.put("images/storage/overlay-layers/layers.json", "[]") },
			"the image is not in the shared store"},
		"data is gone": {func(h *host) { h.must(os.RemoveAll(h.path("images/storage/overlay-images/" + first))) }, ""},
		"no idmapped mounts": {func(h *host) { h.mounts.fails = noIDMap(unix.EINVAL) },
			"idmapped mounts are not possible here"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			tt.change(h)
			err := h.Mount(h.key)
			if tt.want == "" {
				if err == nil {
					t.Error("Mount: no error")
				}
				return
			}
			h.must(err)
			env, conf := h.read(viewDir+"/image.env"), h.read(viewDir+"/storage.conf")
			if !strings.Contains(env, contract.EnvImage+"=localhost/") || !strings.Contains(env, tt.want) ||
				strings.Contains(conf, "additionalimagestores") || !strings.Contains(conf, "[storage]") {
				t.Errorf("image.env is %q, storage.conf %q", env, conf)
			}
			if h.read("run/images/jupyter-alice:gpu.service") != "" {
				t.Error("the image of the shared store counts as needed")
			}
		})
	}
}

// TestRefusals checks what makes no view at all.
func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		change func(*host)
		want   string
	}{
		"no request": {func(h *host) { h.must(os.RemoveAll(h.path("run/requests"))) },
			"nobody has asked for a view"},
		"bad request": {func(h *host) { h.ask(contract.ViewRequest{}) },
			"cannot use the request for server alice:gpu"},
		"no lock": {func(h *host) { h.must(os.Remove(h.path("run/images/lock"))) }, "cannot lock the images"},
		"open store": {func(h *host) { h.must(os.Chmod(filepath.Join(h.Store, "overlay"), 0o710)) },
			"may be entered by others"},
		"open to all": {func(h *host) { h.must(os.Chmod(filepath.Join(h.Store, "overlay"), 0o701)) },
			"may be entered by others"},
		"no sub-uids": {func(h *host) { h.put("etc/subuid", "gifford-images:600000:65536\n") },
			"alice has no subordinate ids"},
		"no sub-gids": {func(h *host) { h.put("etc/subgid", "gifford-images:600000:65536\n") },
			"alice has no subordinate ids"},
		"keeper's ids": {func(h *host) { h.put("etc/subuid", "alice:165536:65536\n") },
			"gifford-images has no subordinate ids"},
		"no subuid": {func(h *host) { h.must(os.Remove(h.path("etc/subuid"))) }, "no such file"},
		"no layers": {func(h *host) { h.must(os.RemoveAll(filepath.Join(h.Store, "overlay"))) }, "no such file"},
		"a link":    {func(h *host) { h.link("images/storage/overlay") }, "too many levels of symbolic links"},
		"mount fails": {func(h *host) { h.mounts.fails = errors.New("no memory") },
			"cannot make the view of image \"localhost/lab:latest\": no memory"},
		"record": {func(h *host) {
			h.must(os.MkdirAll(h.path("run/images/jupyter-alice:gpu.service/x"),
				0o755))
		}, "not empty"},
		"other records": {func(h *host) { h.persistent("lab"); h.put("state/images", "") }, "not a directory"},
		"no manifest": {func(h *host) {
			h.must(os.Remove(h.path("images/storage/overlay-images/" + first +
				"/manifest")))
		},
			"no such file"},
		"store is a file": {func(h *host) { h.must(os.RemoveAll(h.Store)); h.put("images/storage", "") },
			"not a directory"},
		"views":           {func(h *host) { h.put("run/views", "") }, "not a directory"},
		"views elsewhere": {func(h *host) { h.must(os.Symlink("nowhere", h.path("run/views"))) }, "no such file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			tt.change(h)
			if err := h.Mount(h.key); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Mount: %v, want %q", err, tt.want)
			}
		})
	}
}

// TestRootsStore checks that a store of root's is refused: its layers would be root's in every container.
func TestRootsStore(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to have a store of root's")
	}
	h := newHost(t)
	h.must(os.Chown(h.Store, 0, 0))
	if err := h.Mount(h.key); err == nil || !strings.Contains(err.Error(), "must be a directory of gifford-images's") {
		t.Errorf("Mount: %v", err)
	}
}

// link puts a symbolic link to a directory in the place of another.
func (h *host) link(name string) {
	h.t.Helper()
	h.must(os.Rename(h.path(name), h.path("elsewhere")))
	h.must(os.Symlink(h.path("elsewhere"), h.path(name)))
}

func (h *host) persistent(profile string) {
	h.t.Helper()
	h.ask(contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapHost, Image: "localhost/lab:latest",
		Share:      true,
		Persistent: profile})
}

// TestPersistent checks that a persistent container goes on with the image that it was made from.
func TestPersistent(t *testing.T) {
	const record = "state/images/alice/gpu.lab"
	tests := map[string]struct{ before, want, warned string }{
		"first start":   {"", first, ""},
		"older image":   {older + "\n", older, ""},
		"image is gone": {strings.Repeat("e5", 32) + "\n", first, "the image e5e5e5e5e5e5, from which the persistent"},
		"no id":         {"localhost/other\n", first, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.persistent("lab")
			if tt.before != "" {
				h.put(record, tt.before)
			}
			h.must(h.Mount(h.key))
			if got := h.read(record); got != tt.want+"\n" {
				t.Errorf("the record is %q", got)
			}
			if got := h.read(viewDir + "/image.env"); !strings.Contains(got, "="+tt.want+"\n") {
				t.Errorf("image.env is %q", got)
			}
			if got := h.warned.String(); !strings.HasPrefix(got, tt.warned) || (tt.warned == "") != (got == "") {
				t.Errorf("warned: %q", got)
			}
			h.must(h.Unmount(h.key))
			if h.read(record) == "" {
				t.Error("the record is gone with the server")
			}
		})
	}
}

// TestMappings checks which ids the mount has for each mapping of the member.
func TestMappings(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to have a store of another account")
	}
	h := newHost(t)
	for mapping, want := range map[contract.Mapping][2]IDMap{
		contract.MapImage: {{{990, 165536, 1}, {600000, 165537, 999}, {600999, 5001, 1}, {601000, 166536, 64536}},
			{{991, 165536, 1}, {600000, 165537, 99}, {600099, 5000, 1}, {600100, 165636, 65436}}},
		contract.MapHost: {{{990, 165536, 1}, {600000, 165537, 5000}, {605000, 5001, 1}, {605001, 170537, 60535}},
			{{991, 165536, 1}, {600000, 165537, 4999}, {604999, 5000, 1}, {605000, 170536, 60536}}},
	} {
		h.ask(contract.ViewRequest{UID: 5001, GID: 5000, Mapping: mapping, Image: "localhost/lab:latest", Share: true})
		h.must(h.Mount(h.key))
		if got := [2]IDMap{h.mounts.uids, h.mounts.gids}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", mapping, got, want)
		}
	}
}

// TestLock checks that a start waits while images are removed.
func TestLock(t *testing.T) {
	h := newHost(t)
	f, err := os.Open(h.path("run/images/lock"))
	h.must(err)
	h.must(unix.Flock(int(f.Fd()), unix.LOCK_EX))
	done := make(chan error)
	go func() { done <- h.Mount(h.key) }()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-t.Context().Done():
	case <-time.After(3 * lockEvery):
	}
	h.must(f.Close())
	h.must(<-done)
	g, err := os.Open(h.path("run/images/lock"))
	h.must(err)
	defer g.Close()
	if err := unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("the lock is still held after the mount: %v", err)
	}
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{"": "", "plain": `"plain"`, "a\"b'c\\d$e`f\ng\th": `"a b c d e f g h"`,
		"é": `"é"`, " ": `" "`} {
		if got := quoted(in); got != want {
			t.Errorf("quoted(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestProbe checks that the probe names what is wrong. Whether it can succeed depends on the kernel of the tests' host.
func TestProbe(t *testing.T) {
	h := newHost(t)
	h.put("images/storage/overlay-layers/layers.json", "{}")
	if err := h.Probe(); err == nil || !strings.Contains(err.Error(), "format that is not known") {
		t.Errorf("a broken store: %v", err)
	}
	h = newHost(t)
	h.must(os.RemoveAll(h.path("images")))
	if err := h.Probe(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
	h = newHost(t)
	h.link("images/storage/overlay")
	if err := h.Probe(); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link: %v", err)
	}
}

func TestNoIDMap(t *testing.T) {
	for err, want := range map[error]bool{unix.ENOSYS: true, unix.EINVAL: true, unix.EOPNOTSUPP: true,
		unix.EPERM: false} {
		if got := noIDMap(err); errors.Is(got, errNoIDMap) != want || !errors.Is(got, err) {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}

// TestDetach checks that what is no mount is no error.
func TestDetach(t *testing.T) {
	for _, name := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		err := kernel{}.detach(name)
		if os.Getuid() != 0 && errors.Is(err, unix.EPERM) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (kernel{}).detach(filepath.Join(t.TempDir(), strings.Repeat("x", 300))); err == nil {
		t.Error("a name that is too long is no error")
	}
}

// TestUserNamespace makes one. Its process is this test, which is ended before its first instruction.
func TestUserNamespace(t *testing.T) {
	if _, err := userNamespace(nil, nil); errors.Is(err, unix.EPERM) {
		t.Skip("this host lets the tests make no user namespace")
	}
	f, err := userNamespace(IDMap{{0, int64(os.Getuid()), 1}}, IDMap{{0, int64(os.Getgid()), 1}})
	if err != nil {
		t.Skip("this host lets the tests map no ids: ", err)
	}
	defer f.Close()
	if kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWUSER {
		t.Errorf("it is no user namespace: %#x, %v", kind, err)
	}
	if _, err := userNamespace(IDMap{{0, 0, 1}, {0, 5, 1}}, nil); err == nil {
		t.Error("a mapping with an id twice is no error")
	}
}
