// Package tlscert serves the hub's TLS certificate from PEM files and loads a renewed one without
// a restart. Certificate, chain and key may be in one file or two, in any order, with or without
// the root, as certbot, a certificate service or a bundle made by hand provide them.
//
// It must never replace a working pair by a broken one, never write a
// file, never change a file's permissions, and never log key material.
package tlscert

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxFile     = 1 << 20             // bytes; a chain is a few thousand
	warnBefore  = 14 * 24 * time.Hour // before expiry; ACME clients renew at 30 days
	serviceUser = "gifford-hub"       // the user that must read the files
)

// Config names the files.
type Config struct {
	// Certificate is the PEM file with the certificate and its chain.
	Certificate string
	// Key is the PEM file with the private key; empty when Certificate has it.
	Key string
	// Log records certificates that are loaded, rejected or about to expire; nil means no log.
	Log *slog.Logger
}

// files returns the paths to read.
func (cfg Config) files() []string {
	if cfg.Key == "" || cfg.Key == cfg.Certificate {
		return []string{cfg.Certificate}
	}
	return []string{cfg.Certificate, cfg.Key}
}

// Loader holds the certificate being served. It is safe for concurrent use.
type Loader struct {
	cfg     Config
	current atomic.Pointer[tls.Certificate]
	timing  timing

	// Open writes these before Watch starts; then Watch alone uses them.
	seen [sha256.Size]byte // of the content loaded last
	said string            // the error logged last, so that it is logged once
}

// timing is the intervals of Watch.
type timing struct {
	debounce time.Duration // quiet time after a change before reading
	recheck  time.Duration // between reads when no change was reported
	remind   time.Duration // between warnings of expiry
}

// Open reads the files. The error names the file, what is wrong with it and the next step. Open
// serves an expired certificate too and logs a warning: a browser's message about it helps people
// more than a hub that does not run.
func Open(ctx context.Context, cfg Config) (*Loader, error) {
	if cfg.Certificate == "" {
		return nil, errors.New("no certificate file is configured; name a PEM file")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Loader{cfg: cfg, timing: timing{
		debounce: 500 * time.Millisecond, recheck: time.Minute, remind: 24 * time.Hour,
	}}
	pair, sum, err := l.read()
	if err != nil {
		return nil, err
	}
	l.seen = sum
	l.accept(ctx, pair)
	return l, nil
}

// suites are those of TLS 1.2 in Mozilla's intermediate configuration
// (https://wiki.mozilla.org/Security/Server_Side_TLS) that Go has: forward secrecy and authenticated encryption, no
// CBC. Those of TLS 1.3 are not for us to choose.
var suites = [...]uint16{ // read only
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// TLSConfig returns a server's configuration: TLS 1.2 with strong suites or newer, HTTP/2 and
// HTTP/1.1, always with the certificate current at the time of a handshake.
func (l *Loader) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: suites[:],
		NextProtos:   []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.current.Load(), nil
		},
	}
}

// Info returns the host names and addresses that the current certificate is
// for, sorted, and when it ends.
func (l *Loader) Info() (names []string, notAfter time.Time) {
	leaf := l.current.Load().Leaf
	names = slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{leaf.Subject.CommonName}
	}
	slices.Sort(names)
	return names, leaf.NotAfter
}

// read reads and parses the files. sum is the hash of their content, which is also set when the
// content cannot be parsed.
func (l *Loader) read() (pair *tls.Certificate, sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	var content blocks
	var broken error
	for _, file := range l.cfg.files() {
		data, err := readFile(file)
		if err != nil {
			return nil, sum, err
		}
		fmt.Fprintf(hash, "%d\n", len(data))
		hash.Write(data)
		if err := content.add(file, data); broken == nil {
			broken = err
		}
	}
	hash.Sum(sum[:0])
	if broken != nil {
		return nil, sum, broken
	}
	if pair, err = content.pair(); err != nil {
		return nil, sum, fmt.Errorf("%s: %w", strings.Join(l.cfg.files(), " and "), err)
	}
	return pair, sum, nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, readError(name, err)
	}
	defer func() { _ = file.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, readError(name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read %s: it has more than %d bytes and so is no certificate file", name, maxFile)
	}
	return data, nil
}

// readError adds the next step to an error from the file system. That error names the file.
func readError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the user %s must be able to read it and to enter its directories: setfacl -m u:%s:r %s",
			err, serviceUser, serviceUser, name)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; check the path in the configuration, and that a link there leads somewhere", err)
	}
	return fmt.Errorf("read the certificate file: %w", err)
}
