package tlscert

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
)

// TestParseKey checks which kinds of keys are of use.
func TestParseKey(t *testing.T) {
	pkcs8 := func(key any, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		b, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	for name, tt := range map[string]struct {
		kind  string
		bytes []byte
		want  string // "" where it is good
	}{
		"Ed25519":      {"PRIVATE KEY", pkcs8(edwards, err), ""},
		"X25519":       {"PRIVATE KEY", pkcs8(ecdh.X25519().GenerateKey(rand.Reader)), "of no use for TLS"},
		"RSA as EC":    {"EC PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey(t)), "ParsePKCS1PrivateKey"},
		"another kind": {"OPENSSH PRIVATE KEY", nil, "not a kind of key"},
	} {
		key, err := parseKey(&pem.Block{Type: tt.kind, Bytes: tt.bytes})
		if (err == nil) != (tt.want == "") || (key == nil) != (err != nil) || err != nil &&
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v", name, key, err)
		}
	}
}

// TestLargestFile checks the bound of a file to the byte.
func TestLargestFile(t *testing.T) {
	content := simple(t, "hub.lab", soon())
	for extra, want := range map[int]bool{0: true, 1: false} {
		path := write(t, filepath.Join(t.TempDir(), "hub.pem"),
			content+strings.Repeat("\n", maxFile-len(content)+extra))
		if _, err := Open(t.Context(), Config{Certificate: path}); (err == nil) != want {
			t.Errorf("%d bytes more than allowed: %v", extra, err)
		}
	}
}

// TestFilesNamedTwice checks that one file for both is read once.
func TestFilesNamedTwice(t *testing.T) {
	if got := (Config{Certificate: "a", Key: "a"}).files(); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if got := (Config{Certificate: "a", Key: "b"}).files(); len(got) != 2 || got[0] != "a" {
		t.Errorf("%q", got)
	}
	if got := (Config{Certificate: "a"}).files(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// TestNotYetValid checks that a certificate of the future is served with a warning about the clock.
func TestNotYetValid(t *testing.T) {
	for name, tt := range map[string]struct {
		from, until         time.Duration
		early, soonExpiring int
	}{
		"good":     {-time.Hour, warnBefore + time.Hour, 0, 0},
		"early":    {time.Hour, warnBefore + time.Hour, 1, 0},
		"expiring": {-time.Hour, warnBefore - time.Hour, 0, 1},
		"expired":  {-time.Hour, -time.Minute, 0, 1},
	} {
		log := &logged{}
		l := &Loader{cfg: Config{Log: slog.New(log)}}
		pair := issue(t, nil, "hub.lab", false, newKey(t), soon())
		leaf := *pair.cert
		leaf.NotBefore, leaf.NotAfter = time.Now().Add(tt.from), time.Now().Add(tt.until)
		l.current.Store(&tls.Certificate{Leaf: &leaf})
		l.warn(t.Context())
		if early, expiring := log.count("certificate-early"), log.count("certificate-expiring"); early != tt.early ||
			expiring != tt.soonExpiring {
			t.Errorf("%s: %d early, %d expiring", name, early, expiring)
		}
	}
	l, leaf := &Loader{}, *issue(t, nil, "hub.lab", false, newKey(t), soon()).cert
	leaf.DNSNames, leaf.IPAddresses = nil, nil
	l.current.Store(&tls.Certificate{Leaf: &leaf})
	if names, _ := l.Info(); len(names) != 1 || names[0] != "hub.lab" {
		t.Errorf("a certificate with a common name alone is for %q", names)
	}
	leaf.Subject.CommonName = ""
	if names, _ := l.Info(); len(names) > 0 {
		t.Errorf("a certificate without a name is for %q", names)
	}
}

// TestIssuer checks that an issuer is found by name and signature, and that of several the one valid longest is.
func TestIssuer(t *testing.T) {
	later, key := soon().Add(time.Hour), newKey(t)
	ca := issue(t, nil, "ca", true, key, soon())
	renewed := issue(t, nil, "ca", true, key, later)
	namesake := issue(t, nil, "ca", true, newKey(t), later)
	other := issue(t, nil, "other", true, newKey(t), later)
	sameKey := issue(t, nil, "other name", true, key, later)
	child := issue(t, ca, "hub.lab", false, newKey(t), soon()).cert
	for name, tt := range map[string]struct {
		among []*authority
		want  *authority
	}{
		"alone":                 {[]*authority{ca}, ca},
		"nobody":                {nil, nil},
		"strangers":             {[]*authority{other, namesake}, nil},
		"another name":          {[]*authority{sameKey}, nil},
		"beside strangers":      {[]*authority{other, ca, namesake, sameKey}, ca},
		"after strangers":       {[]*authority{namesake, other, ca}, ca},
		"the renewed one":       {[]*authority{ca, renewed}, renewed},
		"the renewed one first": {[]*authority{renewed, ca}, renewed},
	} {
		var all []*x509.Certificate
		for _, a := range tt.among {
			all = append(all, a.cert)
		}
		got := issuer(child, all)
		if (got == nil) != (tt.want == nil) || got != nil && !got.Equal(tt.want.cert) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	for name, tt := range map[string]struct {
		cert x509.Certificate
		want bool
	}{
		"same name, no key id": {x509.Certificate{RawIssuer: []byte("a"), RawSubject: []byte("a")}, true},
		"same name and key id": {x509.Certificate{AuthorityKeyId: []byte("k"), SubjectKeyId: []byte("k")}, true},
		"another key id":       {x509.Certificate{AuthorityKeyId: []byte("k"), SubjectKeyId: []byte("l")}, false},
		"another name":         {x509.Certificate{RawIssuer: []byte("a"), RawSubject: []byte("b")}, false},
		"another name, same key": {x509.Certificate{RawIssuer: []byte("a"), AuthorityKeyId: []byte("k"),
			SubjectKeyId: []byte("k")}, false},
	} {
		if got := selfSigned(&tt.cert); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestFollow checks that the directories of the files, and of those that they are links to, are watched and no others.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	real := write(t, filepath.Join(dir, "archive", "hub", "1.pem"), "x")
	file, stale := filepath.Join(dir, "live", "hub", "hub.pem"), filepath.Join(dir, "stale")
	for _, d := range []string{filepath.Dir(file), stale} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link(t, real, file)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watcher.Close() }()
	if err := watcher.Add(stale); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "archive", "hub"), filepath.Join(dir, "live"),
		filepath.Join(dir, "live", "hub")}
	for range 2 {
		follow(watcher, []string{file})
		got := watcher.WatchList()
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("watched (-want +got):\n%s", diff)
		}
	}
	missing := filepath.Join(dir, "none", "hub.pem")
	if got := directories([]string{missing}); len(got) != 2 || !got[filepath.Join(dir, "none")] || !got[dir] {
		t.Errorf("of a file that is not there: %v", got)
	}
}
