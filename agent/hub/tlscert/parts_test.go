package tlscert

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
		path := write(t, filepath.Join(t.TempDir(), "hub.pem"), content+strings.Repeat("\n", maxFile-len(content)+extra))
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
