//go:build e2e

package e2e

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

// layerLine is how a pull reports a layer where there is no terminal.
var layerLine = regexp.MustCompile(`(?m)^[0-9a-f]{12} Download complete`)

// testPullAndRollBack is an image's life on a host with a registry: pulled, replaced by a
// newer one, given back, held, asked for again, and removed.
func testPullAndRollBack(t *testing.T) {
	h := theHost(t)
	r := newRegistry(t, h, 5000, "")
	h.unload(t, "exits", "silent")
	name, _ := r.push(t, "exits", "test/app:latest")
	h.forget(t, name)

	if out := h.run(t, "gifford-hub", "images", "pull", name); !layerLine.MatchString(out) {
		t.Errorf("the pull reports no layer:\n%s", out)
	}
	first := h.id(t, name)
	if out := h.run(t, "gifford-hub", "images", "pull", name, "--quiet"); out != "" {
		t.Errorf("a quiet pull says %q", out)
	}
	r.push(t, "silent", "test/app:latest")
	// what the timer starts: a profile of the policy pulls it
	h.run(t, "systemctl", "start", "gifford-images-pull.service")
	second := h.id(t, name)
	if second == first {
		t.Fatal("the newer image was not taken")
	}
	former := h.run(t, "gifford-hub", "images", "list")
	if want := `(?m)^- +` + first[:12] + ` .* former of ` + regexp.QuoteMeta(name) +
		`$`; !regexp.MustCompile(want).MatchString(former) {
		t.Errorf("the former image is not told:\n%s", former)
	}

	h.run(t, "gifford-hub", "images", "rollback", name)
	h.run(t, "gifford-hub", "images", "pull", "--all", "--quiet")
	if i, _ := h.image(t, name); i.ID != first || !i.Held {
		t.Errorf("after the rollback and a pull of all the name is %s, held %v; want %s, held", i.ID, i.Held, first)
	}
	h.run(t, "gifford-hub", "images", "rollback", name, "--to", second[:12])
	if got := h.id(t, name); got != second {
		t.Errorf("after the rollback to %s it is %s", second, got)
	}
	h.run(t, "gifford-hub", "images", "pull", name)
	if i, _ := h.image(t, name); i.ID != second || i.Held {
		t.Errorf("after a pull of the name it is %s, held %v", i.ID, i.Held)
	}
	if out := h.fails(t, "gifford-hub", "images", "rollback", name, "--to",
		strings.Repeat("0", 12)); !strings.Contains(out, "hint: ") {
		t.Errorf("a rollback to nothing says:\n%s", out)
	}

	before := h.ids(t)
	if out := h.run(t, "gifford-hub", "images", "prune", "--dry-run", "--keep-former", "0"); !strings.Contains(out,
		"would remove "+first[:12]) {
		t.Errorf("prune would not remove the former image:\n%s", out)
	}
	if diff := cmp.Diff(before, h.ids(t)); diff != "" {
		t.Errorf("a dry run changed the store:\n%s", diff)
	}
	h.run(t, "gifford-hub", "images", "prune", "--keep-former", "0")
	if slices.Contains(h.ids(t), first) {
		t.Error("prune has not removed the former image")
	}
	h.run(t, "gifford-hub", "images", "rm", name)
	if slices.Contains(h.ids(t), second) {
		t.Error("rm has not removed the image")
	}
}

// testPullRefused has pulls that cannot be: each says why, and changes nothing.
func testPullRefused(t *testing.T) {
	h := theHost(t)
	newRegistry(t, h, 5000, "")
	before := h.ids(t)
	for name, tt := range map[string]struct{ image, want string }{
		"not allowed by the policy": {"docker.io/library/evil:latest", "policy"},
		"not in the registry":       {"127.0.0.1:5000/test/nothing:latest", "127.0.0.1:5000/test/nothing"},
		"no name":                   {"--x", "hint: gifford-hub images pull --help"},
		"strange name":              {"UPPER CASE", "UPPER CASE"},
	} {
		if out := h.fails(t, "gifford-hub", "images", "pull", tt.image); !strings.Contains(out, tt.want) {
			t.Errorf("%s: %s", name, out)
		}
	}
	if diff := cmp.Diff(before, h.ids(t)); diff != "" {
		t.Errorf("the store has changed:\n%s", diff)
	}
}

// testPinned pulls by digest: what the registry has under the tag afterwards is no matter.
func testPinned(t *testing.T) {
	h := theHost(t)
	r := newRegistry(t, h, 5000, "")
	h.unload(t, "exits", "silent")
	tag, digest := r.push(t, "exits", "test/pin:latest")
	pinned := strings.TrimSuffix(tag, ":latest") + "@" + digest
	h.forget(t, pinned)
	h.run(t, "gifford-hub", "images", "pull", pinned)
	first := h.id(t, pinned)
	if i, _ := h.image(t, pinned); i.Digest != digest {
		t.Errorf("its digest is %q, the registry says %q", i.Digest, digest)
	}
	if list := h.run(t, "gifford-hub", "images", "list"); !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(pinned) +
		` .* pinned$`).MatchString(list) {
		t.Errorf("it is not told to be pinned:\n%s", list)
	}
	r.push(t, "silent", "test/pin:latest")
	h.run(t, "gifford-hub", "images", "pull", pinned)
	if got := h.id(t, pinned); got != first {
		t.Errorf("the pinned image has become %s", got)
	}
}

// testPrivateRegistry pulls with a password that root alone can read.
func testPrivateRegistry(t *testing.T) {
	const secrets = "/etc/gifford-hub/registry-auth.json"
	h := theHost(t)
	r := newRegistry(t, h, 5001, "lab:a-long-password")
	name, _ := r.push(t, "exits", "test/private:latest")
	h.forget(t, name)
	out := h.fails(t, "gifford-hub", "images", "pull", name)
	if !strings.Contains(out, "registry-auth.json") {
		t.Errorf("without a password the next step is not told:\n%s", out)
	}
	t.Cleanup(func() {
		_, _ = h.try(noEnd(t), "rm", "-f", secrets)
		_, _ = h.try(noEnd(t), "systemctl", "restart", "gifford-images.service")
	})
	h.put(t, secrets, "0600", `{"auths":{"127.0.0.1:5001":{"auth":"bGFiOmEtbG9uZy1wYXNzd29yZA=="}}}`)
	h.run(t, "systemctl", "restart", "gifford-images.service")
	since := time.Now()
	h.run(t, "gifford-hub", "images", "pull", name)
	h.id(t, name)
	h.fails(t, "runuser", "-u", "alice", "--", "cat", secrets)
	h.fails(t, "runuser", "-u", "alice", "--", "ls", "/run/credentials/gifford-images.service")
	if log := h.journal(t, "gifford-images", since); strings.Contains(log, "bGFiOmEt") ||
		strings.Contains(log, "a-long-password") {
		t.Errorf("the password is in the journal:\n%s", log)
	}
}

// testImport puts an image of each kind of archive into the store, and none of what is
// broken.
func testImport(t *testing.T) {
	h := theHost(t)
	h.run(t, "sh", "-ec", `
		rm -rf /var/tmp/import && mkdir -p /var/tmp/import/root/etc && cd /var/tmp/import
		skopeo copy --quiet docker-archive:/srv/images/exits.tar oci-archive:oci.tar:localhost/test/import:1
		echo rootfs >root/etc/issue && tar -C root -cf rootfs.tar .
		head -c 300000 /srv/images/exits.tar >cut.tar
		echo 'no archive' >text.tar
		: >empty.tar`)
	t.Cleanup(func() { _, _ = h.try(noEnd(t), "rm", "-rf", "/var/tmp/import") })
	for name, file := range map[string]string{"docker": "/srv/images/exits.tar", "oci": "/var/tmp/import/oci.tar",
		"rootfs": "/var/tmp/import/rootfs.tar"} {
		image := "localhost/test/import-" + name + ":1"
		h.forget(t, image)
		h.run(t, "gifford-hub", "images", "import", image, file)
		h.id(t, image)
	}
	h.forget(t, "localhost/test/import-stdin:1")
	h.run(t, "sh", "-ec", "gifford-hub images import localhost/test/import-stdin:1 - </srv/images/silent.tar")
	silent := h.id(t, "localhost/test/import-stdin:1")
	if exits := h.id(t, "localhost/test/import-docker:1"); exits == silent {
		t.Errorf("two archives are the same image, %s", exits)
	}

	before := h.ids(t)
	for _, file := range []string{"cut.tar", "text.tar", "empty.tar", "missing.tar"} {
		if out := h.fails(t, "gifford-hub", "images", "import", "localhost/test/broken:1",
			"/var/tmp/import/"+file); !strings.Contains(out, "gifford-hub: ") {
			t.Errorf("%s: no reason: %s", file, out)
		}
	}
	if out := h.fails(t, "gifford-hub", "images", "import", "docker.io/library/evil:1",
		"/srv/images/exits.tar"); !strings.Contains(out, "policy") {
		t.Errorf("a name that the policy does not allow: %s", out)
	}
	if diff := cmp.Diff(before, h.ids(t)); diff != "" {
		t.Errorf("what is broken has changed the store:\n%s", diff)
	}
	if out := h.run(t, "find", "/var/lib/gifford-images/tmp", "-type", "f"); out != "" {
		t.Errorf("archives were left behind:\n%s", out)
	}
}

// testFullDisk lets an import run out of space: the store is what it was, and of use.
// Where little is free nothing is begun.
func testFullDisk(t *testing.T) {
	const small, big, dir = "localhost/test/small:1", "localhost/test/big:1", "/var/lib/gifford-images"
	h := theHost(t)
	h.run(t, "systemctl", "stop", "gifford-images.service")
	h.run(t, "mount", "-t", "tmpfs", "-o", "size=400M,mode=0700,uid="+
		strings.TrimSpace(h.run(t, "id", "-u", "gifford-images")), "tmpfs", dir)
	policy := h.run(t, "cat", policyFile)
	defer func() {
		h.put(t, policyFile, "0644", policy)
		if out, err := h.try(noEnd(t), "sh", "-c", "systemctl stop gifford-images.service; umount "+dir+
			"; rm -f /var/tmp/big.tar"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}()
	h.put(t, policyFile, "0644", strings.Replace(policy, "[images]\n", "[images]\nmin_free = \"100M\"\n", 1))
	h.run(t, "sh", "-ec", "tar -C /etc/systemd -cf - . | gifford-hub images import "+small+" -")
	id := h.id(t, small)
	used := func() int {
		kilobytes, err := strconv.Atoi(strings.TrimSpace(h.run(t, "sh", "-c",
			"df --output=used -k "+dir+" | tail -n 1")))
		if err != nil {
			t.Fatal(err)
		}
		return kilobytes
	}
	before, list := used(), h.ids(t)
	h.run(t, "sh", "-ec", "mkdir -p /var/tmp/big && truncate -s 2G /var/tmp/big/bomb && tar -C "+
		"/var/tmp/big -c . | gzip -1 >/var/tmp/big.tar && rm -r /var/tmp/big")
	if out := h.fails(t, "gifford-hub", "images", "import", big, "/var/tmp/big.tar"); !strings.Contains(out,
		"stopped before the disk was full") && !strings.Contains(out, "no space left") {
		t.Errorf("the import does not say why it failed:\n%s", out)
	}
	h.newEndlessRegistry(t, "endless")
	if out := h.fails(t, "gifford-hub", "images", "pull", "127.0.0.1:5001/test/endless:1"); !strings.Contains(out,
		"stopped before the disk was full") && !strings.Contains(out, "no space left") {
		t.Errorf("the pull does not say why it failed:\n%s", out)
	}
	if diff := cmp.Diff(list, h.ids(t)); diff != "" {
		t.Errorf("the store has changed:\n%s", diff)
	}
	if now := used(); now > before+1024 {
		t.Errorf("%d KiB were used before, %d are after", before, now)
	}
	if got := h.id(t, small); got != id {
		t.Errorf("%s is now %s, was %s", small, got, id)
	}
	h.put(t, policyFile, "0644", strings.Replace(policy, "[images]\n", "[images]\nmin_free = \"1G\"\n", 1))
	if out := h.fails(t, "gifford-hub", "images", "import", small, "/srv/images/exits.tar"); !strings.Contains(out,
		"left, and the policy wants 1.0 GB") {
		t.Errorf("with little space: %s", out)
	}
	if out := h.run(t, "gifford-hub", "disk"); !strings.Contains(out, "LOW: nothing is pulled") {
		t.Errorf("gifford-hub disk does not say that the store's disk is low:\n%s", out)
	}
}

// testNewerImage is what people see of an update: alice's server goes on, she and the
// administrator learn that there is a newer image, and nothing takes hers away.
func testNewerImage(t *testing.T) {
	const name, note = "localhost/test/lab:latest", "A newer version of this environment is there"
	h := theHost(t)
	h.forget(t, name)
	h.run(t, "systemctl", "stop", "jupyter-*.service")
	h.unload(t, "jupyterlab", "notebook6")
	h.run(t, "gifford-hub", "images", "import", name, "/srv/images/jupyterlab.tar")
	first := h.id(t, name)
	alice := member(t, h, "alice")
	alice.start("alice", "updated")
	defer alice.stop("alice")
	if i, _ := h.image(t, name); !slices.Contains(i.InUse, "jupyter-alice.service") {
		t.Errorf("alice's image is in use by %v", i.InUse)
	}
	if out := h.fails(t, "gifford-hub", "images", "rm", name); !strings.Contains(out, "alice") {
		t.Errorf("an image in use is refused without saying whose:\n%s", out)
	}
	if home := alice.get("/hub/home"); strings.Contains(home.body, note) {
		t.Error("alice is told of a newer image that there is not")
	}

	h.run(t, "gifford-hub", "images", "import", name, "/srv/images/notebook6.tar")
	eventually(t, "alice's home page names the newer image", 20*time.Second, func() bool {
		return strings.Contains(alice.get("/hub/home").body, note)
	})
	dora := member(t, h, "dora")
	if !strings.Contains(dora.get("/hub/admin?q=alice").body, "older image") {
		t.Error("the page of users has no mark")
	}
	if out := h.run(t, "gifford-hub", "servers",
		"list"); !regexp.MustCompile(`(?m)^alice +ready .* older `).MatchString(out) {
		t.Errorf("servers list does not tell:\n%s", out)
	}
	ctx := browser(t)
	signInWith(t, ctx, h, "alice")
	picture(t, ctx, "home-newer-image")

	if out := h.run(t, "gifford-hub", "images", "prune", "--keep-former", "0"); strings.Contains(out, first[:12]) ||
		!slices.Contains(h.ids(t), first) {
		t.Errorf("prune took an image in use:\n%s", out)
	}
	if got := alice.newKernel("alice").exec("print(6*7)"); !strings.Contains(got, "42") {
		t.Errorf("alice's kernel says %q", got)
	}
	h.run(t, "gifford-hub", "images", "rollback", name)
	eventually(t, "the note is gone", 20*time.Second,
		func() bool { return !strings.Contains(alice.get("/hub/home").body, note) })

	h.run(t, "gifford-hub", "images", "import", name, "/srv/images/notebook6.tar")
	alice.stop("alice")
	alice.start("alice", "updated")
	if i, _ := h.image(t, name); i.ID == first || !slices.Contains(i.InUse, "jupyter-alice.service") {
		t.Errorf("after the next start the name is %s, in use by %v", i.ID, i.InUse)
	}
	h.run(t, "gifford-hub", "images", "prune", "--keep-former", "0")
	if slices.Contains(h.ids(t), first) {
		t.Error("prune has left an image that nobody needs")
	}
}

// testImagesPage pulls as an administrator does on the page: without JavaScript, and in the
// browser, wide and narrow.
func testImagesPage(t *testing.T) {
	h := theHost(t)
	r := newRegistry(t, h, 5000, "")
	h.unload(t, "exits", "silent")
	name, _ := r.push(t, "exits", "test/app:latest")
	h.forget(t, name)
	dora := member(t, h, "dora")
	pull := func() page {
		p := dora.get("/hub/admin/images")
		for _, f := range p.forms(t) {
			if strings.HasSuffix(f.action.Path, "/admin/images/pull") && f.fields.Get("name") == name {
				return dora.submit(f)
			}
		}
		t.Fatalf("no button for %s: %s", name, p)
		return page{}
	}
	p := pull()
	if p.status != http.StatusOK || p.url.Path != "/hub/admin/images/pull" {
		t.Fatalf("the page of the pull: %s", p)
	}
	eventually(t, "the pull is over", time.Minute, func() bool {
		return !strings.Contains(dora.get(p.url.RequestURI()).body, `http-equiv="refresh"`)
	})
	first := h.id(t, name)
	if log := h.journal(t, "gifford-hub", time.Now().Add(-time.Minute)); !strings.Contains(log,
		"administrative action") {
		t.Errorf("the journal does not say who pulled:\n%s", log)
	}
	r.push(t, "silent", "test/app:latest")

	ctx := browser(t)
	signInWith(t, ctx, h, "dora")
	button := `form:has(input[value="` + name + `"]) button`
	do(t, ctx, "images", chromedp.Navigate("https://"+h.ip+"/hub/admin/images"))
	do(t, ctx, "pull", chromedp.Click(button))
	do(t, ctx, "the pull's page", chromedp.WaitVisible(`#pull`))
	do(t, ctx, "its end", chromedp.WaitVisible(`#pull[data-over]`))
	picture(t, ctx, "pull-over")
	if h.id(t, name) == first {
		t.Error("the browser's pull brought nothing")
	}
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1280, 900}, {"narrow", 360, 740}} {
		do(t, ctx, size.name, chromedp.EmulateViewport(size.width, size.height))
		do(t, ctx, "images", chromedp.Navigate("https://"+h.ip+"/hub/admin/images"))
		do(t, ctx, "the former image", chromedp.WaitVisible(`tr.former`))
		picture(t, ctx, "page-images-"+size.name)
		if do(t, ctx, "width", chromedp.Evaluate[bool](`document.documentElement.scrollWidth > window.innerWidth`)) {
			t.Errorf("the page of images is wider than the window at %d", size.width)
		}
	}
	if p := member(t, h, "alice").get("/hub/admin/images"); p.status != http.StatusNotFound {
		t.Errorf("alice sees the page: %s", p)
	}
	h.run(t, "systemctl", "stop", "gifford-images.socket", "gifford-images.service")
	defer func() { _, _ = h.try(noEnd(t), "systemctl", "start", "gifford-images.socket") }()
	if p := dora.get("/hub/admin/images"); p.status != http.StatusServiceUnavailable ||
		!strings.Contains(p.body, "systemctl status gifford-images") {
		t.Errorf("without a keeper: %s", p)
	}
}

// testImagesAreTheKeepers checks that members reach neither the store nor a socket that
// leads to it, and that no Podman of root's is at work.
func testImagesAreTheKeepers(t *testing.T) {
	h := theHost(t)
	h.run(t, "gifford-hub", "images", "list") // the keeper runs
	for _, path := range []string{"/var/lib/gifford-images", "/var/lib/gifford-images/storage"} {
		h.fails(t, "runuser", "-u", "alice", "--", "ls", path)
	}
	sockets := strings.Fields(h.run(t, "find", "/run/gifford-images", "/var/lib/gifford-images", "-type", "s"))
	if !slices.Contains(sockets, "/run/gifford-images/control.sock") {
		t.Errorf("the keeper's sockets are %v", sockets)
	}
	for _, s := range sockets {
		h.fails(t, "runuser", "-u", "alice", "--", "curl", "-s", "--unix-socket", s, "http://x/images")
	}
	out := h.fails(t, "runuser", "-u", "alice", "--", "gifford-hub", "images", "list")
	if !strings.Contains(out, "only root may do this") || !strings.Contains(out, "hint: ") {
		t.Errorf("alice is told:\n%s", out)
	}
	for _, program := range []string{"podman", "conmon", "crun", "catatonit"} {
		if out := h.fails(t, "pgrep", "-a", "-u", "0", "-x", program); out != "" {
			t.Errorf("a process of root's:\n%s", out)
		}
	}
	h.fails(t, "test", "-e", "/var/lib/containers/storage/overlay-images/images.json")
}
