//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// named returns the images under all their names, former ones included.
func (h host) named(t *testing.T) string {
	t.Helper()
	return h.run(t, "gifford-hub", "images", "list", "--json")
}

// testHostileArchive imports archives that have more in them than the image: none moves another image's name, and
// nothing stays of them.
func testHostileArchive(t *testing.T) {
	const prod = "localhost/test/prod:1"
	h := theHost(t)
	h.forget(t, prod, "localhost/test/new:1")
	h.run(t, "gifford-hub", "images", "import", prod, "/srv/images/exits.tar")
	h.run(t, "sh", "-ec", `
		rm -rf /var/tmp/hostile && mkdir -p /var/tmp/hostile/one && cd /var/tmp/hostile
		tar -C one -xf /srv/images/silent.tar && cd one
		sed -i -E ':a;N;$!ba;s#"RepoTags":[^]]*\]#"RepoTags":["`+prod+`","localhost/test/two:1"]#' manifest.json
		tar -cf ../tags.tar *
		jq -c '[.[0], (.[0] | .RepoTags = ["localhost/test/two:1"])] | .[0].RepoTags = ["`+prod+`"]' manifest.json >m
		mv m manifest.json
		tar -cf ../images.tar *
		jq -c '[.[0]] | .[0].RepoTags = ["`+prod+`"]' manifest.json >m && mv m manifest.json
		ln -s /etc/shadow link
		tar -cf ../link.tar *
		rm link
		tar -cf ../name.tar *
		tar -rf ../name.tar manifest.json && mv ../name.tar ../twice.tar
		tar -cf ../name.tar *`)
	t.Cleanup(func() { _, _ = h.try(noEnd(t), "rm", "-rf", "/var/tmp/hostile") })
	before := h.named(t)
	for file, want := range map[string]string{"tags": "2 names for its image", "images": "2 images; one is needed",
		"link": "a link or a device", "twice": "twice"} {
		out := h.fails(t, "gifford-hub", "images", "import", "localhost/test/new:1", "/var/tmp/hostile/"+file+".tar")
		if !strings.Contains(out, want) {
			t.Errorf("%s: %s", file, out)
		}
		if diff := cmp.Diff(before, h.named(t)); diff != "" {
			t.Errorf("%s: the store has changed:\n%s", file, diff)
		}
	}
	id := h.id(t, prod)
	h.run(t, "gifford-hub", "images", "import", "localhost/test/new:1", "/var/tmp/hostile/name.tar")
	if now := h.id(t, prod); now != id || h.id(t, "localhost/test/new:1") == id {
		t.Errorf("the image in the archive is %s, and %s has become %s, was %s", h.id(t, "localhost/test/new:1"), prod,
			now, id)
	}
}

// silentRegistry accepts connections and never answers.
const silentRegistry = `use IO::Socket::INET; $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:5000", Listen => 99,
	ReuseAddr => 1) or die; while ($c = $s->accept) { push @c, $c }`

// endlessRegistry has one image, whose layer has a terabyte. Of it come a megabyte and then nothing ("half"), or all of
// it ("endless"). Its arguments are the port, which of the two, the image's configuration and its SHA-256. systemd-run
// would replace what stands in braces after a dollar sign.
const endlessRegistry = `
use IO::Socket::INET;
my ($port, $kind, $c, $digest) = @ARGV; $SIG{CHLD} = "IGNORE";
my $t = "application/vnd.oci.image."; my $size = 1 << 40;
my $m = sprintf(q({"schemaVersion":2,"mediaType":"%smanifest.v1+json","config":{"mediaType":"%sconfig.v1+json",) .
	q("digest":"sha256:%s","size":%d},"layers":[{"mediaType":"%slayer.v1.tar","digest":"sha256:%s","size":%d}]}),
	$t, $t, $digest, length $c, $t, "1" x 64, $size);
my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 99, ReuseAddr => 1) or die;
while (my $k = $s->accept) {
	next if fork;
	exit if getc($k) !~ m{[A-Z]}; my $line = <$k>; my $path = (split " ", $line)[1]; while (<$k> =~ /\S/) { }
	my ($type, $body) = ("application/json", "{}");
	($type, $body) = ($t . "manifest.v1+json", $m) if $path =~ /manifests/;
	$body = $c if $path =~ /blobs/;
	my $layer = $path =~ /1{64}/;
	printf $k "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", $type,
		$layer ? $size : length $body, $layer ? "" : $body;
	exit unless $layer;
	do { print $k "x" x 1048576 or exit } while $kind eq "endless";
	$k->flush; sleep 1 while 1;
}
`

// newEndlessRegistry starts such a registry, which is gone after the test.
func (h host) newEndlessRegistry(t *testing.T, kind string) {
	t.Helper()
	config := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` +
		strings.Repeat("0", 64) + `"]}}`
	unit := "test-registry-" + kind
	h.run(t, "systemd-run", "--quiet", "--collect", "--unit="+unit, "perl", "-e", endlessRegistry, "5001", kind, config,
		fmt.Sprintf("%x", sha256.Sum256([]byte(config))))
	t.Cleanup(func() { _, _ = h.try(noEnd(t), "systemctl", "stop", unit+".service") })
	h.listens(t, "5001")
}

// listens waits until something listens on a port of the loopback.
func (h host) listens(t *testing.T, port string) {
	t.Helper()
	eventually(t, "something listens on "+port, 20*time.Second, func() bool {
		_, err := h.try(t.Context(), "sh", "-c", "ss -Hltn 'sport = :"+port+"' | grep -q .")
		return err == nil
	})
}

// testHostileRegistry pulls from a registry that accepts and never answers. Everything else goes on, an interrupted
// command ends its pull, and a pull that nobody interrupts ends by itself. A keeper that is killed leaves nothing.
func testHostileRegistry(t *testing.T) {
	const (
		silent, interrupted = "127.0.0.1:5000/test/silent:1", "127.0.0.1:5000/test/interrupted:1"
		half, other         = "127.0.0.1:5001/test/half:1", "localhost/test/beside:1"
	)
	h := theHost(t)
	h.run(t, "gifford-hub", "images", "prune")
	h.forget(t, other)
	h.run(t, "systemd-run", "--quiet", "--collect", "--unit=test-silent", "perl", "-e", silentRegistry)
	t.Cleanup(func() { _, _ = h.try(noEnd(t), "systemctl", "stop", "test-silent.service") })
	h.listens(t, "5000")
	h.newEndlessRegistry(t, "half")
	since := time.Now()
	type result struct {
		out string
		err error
	}
	ended, halfEnded := make(chan result, 1), make(chan result, 1)
	for name, end := range map[string]chan result{silent: ended, half: halfEnded} {
		go func() {
			out, err := h.try(t.Context(), "gifford-hub", "images", "pull", name)
			end <- result{out, err}
		}()
	}
	asked := func(n int) func() bool {
		return func() bool {
			out, err := h.try(t.Context(), "sh", "-c", "ss -Htn 'sport = :5000' | wc -l")
			return err == nil && strings.TrimSpace(out) >= fmt.Sprint(n)
		}
	}
	eventually(t, "the registry is asked", 30*time.Second, asked(1))

	within := func(command ...string) {
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		if out, err := h.try(ctx, command...); err != nil {
			t.Errorf("behind a pull that hangs, %v: %v\n%s", command, err, out)
		}
	}
	within("gifford-hub", "images", "import", other, "/srv/images/exits.tar")
	within("gifford-hub", "images", "import", other, "/srv/images/silent.tar")
	within("gifford-hub", "images", "rollback", other)
	within("gifford-hub", "images", "list")
	within("gifford-hub", "images", "prune", "--keep-former", "0")
	within("gifford-hub", "images", "rm", other)

	if out := h.fails(t, "timeout", "--signal=INT", "5", "gifford-hub", "images", "pull", interrupted); out == "" {
		t.Error("an interrupted pull says nothing")
	}
	eventually(t, "the interrupted pull has ended", 20*time.Second, func() bool {
		return strings.Contains(h.journal(t, "gifford-images", since), "nobody waits for the image any more")
	})
	select {
	case r := <-ended:
		t.Fatalf("the pull ended at once: %v %s", r.err, r.out)
	default:
	}
	for registry, end := range map[string]chan result{"127.0.0.1:5000": ended, "127.0.0.1:5001": halfEnded} {
		r := <-end
		if took := time.Since(since); r.err == nil || !strings.Contains(r.out,
			"the registry "+registry+" has sent nothing for two minutes") || took > 3*time.Minute {
			t.Errorf("the pull from %s ended after %s: %v %s", registry, took, r.err, r.out)
		}
	}
	h.run(t, "gifford-hub", "images", "prune", "--dry-run")
	if out := h.run(t, "find", "/var/lib/gifford-images/tmp", "-mindepth", "2"); out != "" {
		t.Errorf("temporary files were left behind:\n%s", out)
	}
	killedKeeper(t, h)
}

// killedKeeper kills the image keeper while it imports, and looks for what it leaves.
func killedKeeper(t *testing.T, h host) {
	t.Helper()
	before := h.ids(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _ = h.try(ctx, "sh", "-c", "(cat /srv/images/jupyterlab.tar; sleep 60) | gifford-hub images import "+
			"localhost/test/killed:1 -")
	}()
	eventually(t, "temporary files are written", time.Minute, func() bool {
		out, _ := h.try(t.Context(), "find", "/var/lib/gifford-images/tmp", "-type", "f", "-size", "+10M")
		return out != ""
	})
	h.run(t, "systemctl", "kill", "--signal=KILL", "gifford-images.service")
	cancel()
	eventually(t, "the keeper has emptied tmp", 30*time.Second, func() bool {
		_, _ = h.try(t.Context(), "gifford-hub", "images", "list")
		out, err := h.try(t.Context(), "find", "/var/lib/gifford-images/tmp", "-type", "f")
		return err == nil && out == ""
	})
	if diff := cmp.Diff(before, h.ids(t)); diff != "" {
		t.Errorf("the store has changed:\n%s", diff)
	}
}
