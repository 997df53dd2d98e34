package tlscert

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOpenServesLeafFirstWithoutRoot(t *testing.T) {
	root := issue(t, nil, "root", true, newKey(t), soon())
	upper := issue(t, root, "upper", true, newKey(t), soon())
	lower := issue(t, upper, "lower", true, newKey(t), soon())
	leaf := issue(t, lower, "hub.lab", false, newKey(t), soon())
	old := issue(t, lower, "hub.lab", false, leaf.key, soon().Add(-time.Hour))
	rsaLeaf := issue(t, lower, "hub.lab", false, rsaKey(t), soon())
	pkcs1 := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey(t)))
	rsaPEM := rsaLeaf.keyPEM(t)
	alone := issue(t, nil, "hub.lab", false, newKey(t), soon())
	full := []*authority{leaf, lower, upper}
	tests := map[string]struct {
		cert, key string
		want      []*authority
	}{
		"in order":       {leaf.pem() + lower.pem() + upper.pem(), leaf.keyPEM(t), full},
		"reversed, root": {root.pem() + upper.pem() + lower.pem() + leaf.pem(), leaf.keyPEM(t), full},
		"one file":       {leaf.keyPEM(t) + lower.pem() + leaf.pem() + upper.pem(), "", full},
		"mixed files":    {leaf.keyPEM(t) + root.pem() + upper.pem(), lower.pem() + leaf.pem(), full},
		"ec key": {leaf.pem() + lower.pem() + upper.pem(),
			block("EC PARAMETERS", []byte{1}) + ecPEM(t, leaf.key), full},
		"rsa key":          {rsaLeaf.pem(), rsaPEM, []*authority{rsaLeaf}},
		"another key":      {pkcs1 + leaf.pem(), leaf.keyPEM(t), []*authority{leaf}},
		"renewed beside":   {old.pem() + leaf.pem(), leaf.keyPEM(t), []*authority{leaf}},
		"unrelated":        {alone.pem() + leaf.pem(), leaf.keyPEM(t), []*authority{leaf}},
		"self-signed leaf": {alone.pem(), alone.keyPEM(t), []*authority{alone}},
		"text around": {"Bag Attributes\r\n" + strings.ReplaceAll(leaf.pem(), "\n", "\r\n"), leaf.keyPEM(t),
			[]*authority{leaf}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := Config{Certificate: write(t, filepath.Join(dir, "cert.pem"), tc.cert)}
			if tc.key != "" {
				cfg.Key = write(t, filepath.Join(dir, "key.pem"), tc.key)
			}
			l, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, cert := range handshake(t, l) {
				got = append(got, cert.Subject.CommonName+" "+cert.SerialNumber.String())
			}
			for _, a := range tc.want {
				want = append(want, a.cert.Subject.CommonName+" "+a.cert.SerialNumber.String())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
		})
	}
}

// handshake returns what a client is shown.
func handshake(t *testing.T, l *Loader) []*x509.Certificate {
	t.Helper()
	server, client := net.Pipe()
	defer func() { _ = server.Close() }()
	defer func() { _ = client.Close() }()
	go func() { _ = tls.Server(server, l.TLSConfig()).Handshake() }()
	conn := tls.Client(client, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		t.Errorf("protocol %q, want h2", state.NegotiatedProtocol)
	}
	return state.PeerCertificates
}

func TestTLSConfigRefusesOldTLS(t *testing.T) {
	l, err := Open(t.Context(), Config{Certificate: write(t, filepath.Join(t.TempDir(), "c"),
		simple(t, "hub.lab", soon()))})
	if err != nil {
		t.Fatal(err)
	}
	server, client := net.Pipe()
	defer func() { _ = client.Close() }()
	go func() {
		_ = tls.Server(server, l.TLSConfig()).Handshake()
		_ = server.Close()
	}()
	old := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10,
		MaxVersion: tls.VersionTLS11})
	if err := old.HandshakeContext(t.Context()); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// TestSuites offers each suite of TLS 1.2 alone, with a certificate of each kind, and compares what is accepted with
// Mozilla's intermediate list, as far as Go has it.
func TestSuites(t *testing.T) {
	var accepted []string
	for _, key := range []crypto.Signer{newKey(t), rsaKey(t)} {
		a := issue(t, nil, "hub.lab", false, key, soon())
		l, err := Open(t.Context(), Config{Certificate: write(t, filepath.Join(t.TempDir(), "c"), a.pem()+a.keyPEM(t))})
		if err != nil {
			t.Fatal(err)
		}
		for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) && accepts(t, l, suite.ID) {
				accepted = append(accepted, suite.Name)
			}
		}
	}
	slices.Sort(accepted)
	if diff := cmp.Diff([]string{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	}, accepted); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
}

// accepts reports whether a client of TLS 1.2 with that suite alone is served.
func accepts(t *testing.T, l *Loader, suite uint16) bool {
	t.Helper()
	server, client := net.Pipe()
	defer func() { _ = client.Close() }()
	go func() {
		_ = tls.Server(server, l.TLSConfig()).Handshake()
		_ = server.Close()
	}()
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{suite}})
	return c.HandshakeContext(t.Context()) == nil
}

func TestOpenErrors(t *testing.T) {
	one := issue(t, nil, "one.lab", false, newKey(t), soon())
	two := issue(t, nil, "two.lab", false, newKey(t), soon())
	rfc1423 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x"),
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}}))
	tests := map[string]struct {
		content string
		want    string
	}{
		"empty":          {"", "no certificate"},
		"not PEM":        {"hello", "no certificate"},
		"no key":         {one.pem(), "no private key"},
		"no certificate": {one.keyPEM(t), "no certificate"},
		"other key": {one.pem() + two.keyPEM(t), "none of the 1 certificates (CN=one.lab) belongs to the " +
			"private key"},
		"encrypted":         {one.pem() + block("ENCRYPTED PRIVATE KEY", []byte("x")), "the private key is encrypted"},
		"encrypted, old":    {one.pem() + rfc1423, "the private key is encrypted"},
		"broken key":        {one.pem() + block("PRIVATE KEY", []byte("x")), "read the private key"},
		"broken cert":       {block("CERTIFICATE", []byte("x")) + one.keyPEM(t), "read certificate number 1"},
		"dsa":               {one.pem() + block("DSA PRIVATE KEY", []byte("x")), "not a kind of key for TLS"},
		"larger than sense": {one.pem() + one.keyPEM(t) + strings.Repeat("#", maxFile), "more than"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "hub.pem"), tc.content)
			_, err := Open(t.Context(), Config{Certificate: path})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error = %v, want %q and the file", err, tc.want)
			}
		})
	}
}

func TestOpenUnreadable(t *testing.T) {
	dir := t.TempDir()
	dangling := filepath.Join(dir, "link.pem")
	if err := os.Symlink("gone", dangling); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"missing":   {filepath.Join(dir, "none.pem"), "check the path in the configuration"},
		"dangling":  {dangling, "a link there leads somewhere"},
		"directory": {dir, "is a directory"},
		"unset":     {"", "no certificate file is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), Config{Certificate: tc.path})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("forbidden", func(t *testing.T) { // by text, since root may read everything
		err := readError("/k.pem", &os.PathError{Op: "open", Path: "/k.pem", Err: os.ErrPermission})
		if want := "setfacl -m u:gifford-hub:r /k.pem"; !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	})
}

func TestOpenWarnsOfExpiry(t *testing.T) {
	for name, tc := range map[string]struct {
		left time.Duration
		want int
	}{
		"expired": {-time.Hour, 1},
		"soon":    {13 * 24 * time.Hour, 1},
		"later":   {15 * 24 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logged{}
			path := write(t, filepath.Join(t.TempDir(), "hub.pem"), simple(t, "hub.lab", time.Now().Add(tc.left)))
			if _, err := Open(t.Context(), Config{Certificate: path, Log: slog.New(log)}); err != nil {
				t.Fatal(err)
			}
			if got := log.count("certificate-expiring"); got != tc.want {
				t.Errorf("%d warnings, want %d", got, tc.want)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	until := soon().UTC().Truncate(time.Second)
	l, err := Open(t.Context(), Config{Certificate: write(t, filepath.Join(t.TempDir(), "c"),
		simple(t, "hub.lab", until))})
	if err != nil {
		t.Fatal(err)
	}
	names, got := l.Info()
	if diff := cmp.Diff([]string{"127.0.0.1", "hub.lab"}, names); diff != "" || !got.Equal(until) {
		t.Errorf("until %s, want %s; names (-want +got):\n%s", got, until, diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(simple(f, "hub.lab", soon())))
	f.Add([]byte(block("ENCRYPTED PRIVATE KEY", []byte("x"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		var content blocks
		if content.add("file", data) != nil {
			return
		}
		pair, err := content.pair()
		if (pair == nil) == (err == nil) {
			t.Fatalf("pair %v, error %v", pair, err)
		}
		if pair != nil && (len(pair.Certificate) == 0 || string(pair.Certificate[0]) != string(pair.Leaf.Raw)) {
			t.Error("the leaf is not first")
		}
	})
}
