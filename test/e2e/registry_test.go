//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// registry is Debian's docker-registry on the host's loopback, as a lab's own would be.
type registry struct {
	host
	address string
	creds   string // NAME:PASSWORD; "" for one that asks nobody
}

// newRegistry starts a registry with nothing in it, which is gone after the test.
func newRegistry(t *testing.T, h host, port int, creds string) registry {
	t.Helper()
	r := registry{h, fmt.Sprintf("127.0.0.1:%d", port), creds}
	unit := fmt.Sprintf("test-registry-%d", port)
	dir := strings.TrimSpace(h.run(t, "mktemp", "-d", "/var/tmp/registry.XXXXXX"))
	t.Cleanup(func() {
		_, _ = h.try(noEnd(t), "systemctl", "stop", unit+".service")
		_, _ = h.try(noEnd(t), "rm", "-rf", dir)
	})
	settings := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s/store}}\nhttp: {addr: %q}\n", dir,
		r.address)
	if name, password, ok := strings.Cut(creds, ":"); ok {
		// The registry takes bcrypt alone, which libxcrypt makes as well.
		hash := h.run(t, "perl", "-e", `print crypt($ARGV[0], q($2b$05$) . "abcdefghijklmnopqrstuu")`, password)
		h.put(t, dir+"/htpasswd", "0600", name+":"+hash+"\n")
		settings += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s/htpasswd}}\n", dir)
	}
	h.put(t, dir+"/config.yml", "0600", settings)
	h.run(t, "systemd-run", "--quiet", "--collect", "--unit="+unit, "docker-registry", "serve", dir+"/config.yml")
	eventually(t, "the registry answers", 20*time.Second, func() bool {
		_, err := h.try(t.Context(), "curl", "-s", "-o", "/dev/null", "http://"+r.address+"/v2/")
		return err == nil
	})
	return r
}

// push puts an image of /srv/images into the registry and returns the whole name and digest.
func (r registry) push(t *testing.T, image, name string) (full, digest string) {
	t.Helper()
	full = r.address + "/" + name
	args := []string{"skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--digestfile=/var/tmp/pushed"}
	if r.creds != "" {
		args = append(args, "--dest-creds="+r.creds)
	}
	r.run(t, append(args, "docker-archive:/srv/images/"+image+".tar", "docker://"+full)...)
	return full, strings.TrimSpace(r.run(t, "cat", "/var/tmp/pushed"))
}

// images lists the host's images.
func (h host) images(t *testing.T) []imagekeeper.Image {
	t.Helper()
	var list []imagekeeper.Image
	out := h.run(t, "gifford-hub", "images", "list", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("images list --json: %v\n%s", err, out)
	}
	return list
}

// image returns the image of a name; false when there is none.
func (h host) image(t *testing.T, name string) (imagekeeper.Image, bool) {
	t.Helper()
	list := h.images(t)
	at := slices.IndexFunc(list, func(i imagekeeper.Image) bool { return slices.Contains(i.Names, name) })
	if at < 0 {
		return imagekeeper.Image{}, false
	}
	return list[at], true
}

// id returns the ID of a name that must be there.
func (h host) id(t *testing.T, name string) string {
	t.Helper()
	i, ok := h.image(t, name)
	if !ok {
		t.Fatalf("there is no image %s", name)
	}
	return i.ID
}

// ids returns the IDs of all images, sorted.
func (h host) ids(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, i := range h.images(t) {
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	return ids
}

// unload removes the images of profiles from the store, so that what a test pulls has no
// other name here. The profiles' next starts load them again.
func (h host) unload(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		name := "localhost/gifford/" + n + ":latest"
		if _, there := h.image(t, name); there {
			h.run(t, "gifford-hub", "images", "rm", name)
		}
	}
	h.run(t, "gifford-hub", "images", "prune", "--keep-former", "0")
}

// forget takes a test's images away at its end.
func (h host) forget(t *testing.T, names ...string) {
	t.Helper()
	t.Cleanup(func() {
		for _, n := range names {
			_, _ = h.try(noEnd(t), "gifford-hub", "images", "rm", n)
		}
		_, _ = h.try(noEnd(t), "gifford-hub", "images", "prune", "--keep-former", "0")
	})
}
