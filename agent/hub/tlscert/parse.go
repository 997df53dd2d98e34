package tlscert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// blocks is the parsed content of the PEM files, in their order.
type blocks struct {
	certificates []*x509.Certificate
	keys         []crypto.Signer
}

// add parses the PEM blocks of one file, in any order. Blocks that are neither
// certificate nor key, such as DH parameters, are skipped.
func (b *blocks) add(file string, data []byte) error {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil
		}
		if err := b.addBlock(block); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
}

func (b *blocks) addBlock(block *pem.Block) error {
	switch {
	case block.Type == "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("read certificate number %d: %w", len(b.certificates)+1, err)
		}
		b.certificates = append(b.certificates, certificate)
	case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return errors.New("the private key is encrypted, and nobody is there to type its password; " +
			"write it without one: openssl pkey -in KEY -out NEWKEY")
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		key, err := parseKey(block)
		if err != nil {
			return fmt.Errorf("read the private key: %w", err)
		}
		b.keys = append(b.keys, key)
	}
	return nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%q is not a kind of key for TLS; use a PKCS #8 key", block.Type)
	}
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("a key of type %T is of no use for TLS; use an ECDSA or RSA key", key)
}

// pair finds the key's own certificate and the chain above it. Errors do not
// name the files; the caller does.
func (b *blocks) pair() (*tls.Certificate, error) {
	if len(b.certificates) == 0 {
		return nil, errors.New("no certificate in PEM form is in it")
	}
	if len(b.keys) == 0 {
		return nil, errors.New("no private key in PEM form is in it")
	}
	leaf, key := b.leaf()
	if leaf == nil {
		return nil, fmt.Errorf("none of the %d certificates (%s) belongs to the private key; "+
			"were certificate and key renewed together?", len(b.certificates), subjects(b.certificates))
	}
	pair := &tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, certificate := range chain(leaf, b.certificates) {
		pair.Certificate = append(pair.Certificate, certificate.Raw)
	}
	return pair, nil
}

// leaf returns the certificate that belongs to one of the keys. Of several it is the one that
// is valid longest, as when the files have a renewed one beside the old.
func (b *blocks) leaf() (leaf *x509.Certificate, key crypto.Signer) {
	for _, candidate := range b.keys {
		public, ok := candidate.Public().(interface{ Equal(crypto.PublicKey) bool })
		if !ok {
			continue
		}
		for _, certificate := range b.certificates {
			if public.Equal(certificate.PublicKey) && (leaf == nil || certificate.NotAfter.After(leaf.NotAfter)) {
				leaf, key = certificate, candidate
			}
		}
	}
	return leaf, key
}

// chain returns the certificates from the leaf up, each signed by the next, without others
// and without a root at the end: clients trust their own copy of it or none.
func chain(leaf *x509.Certificate, certificates []*x509.Certificate) []*x509.Certificate {
	links := []*x509.Certificate{leaf}
	for {
		next := issuer(links[len(links)-1], certificates)
		if next == nil || selfSigned(next) || slices.ContainsFunc(links, next.Equal) {
			return links
		}
		links = append(links, next)
	}
}

// issuer returns the certificate that signed child, the one valid longest
// when there are several.
func issuer(child *x509.Certificate, certificates []*x509.Certificate) *x509.Certificate {
	var best *x509.Certificate
	for _, certificate := range certificates {
		if bytes.Equal(child.RawIssuer, certificate.RawSubject) && child.CheckSignatureFrom(certificate) == nil &&
			(best == nil || certificate.NotAfter.After(best.NotAfter)) {
			best = certificate
		}
	}
	return best
}

// selfSigned compares key identifiers and not the signature, which for old
// roots is SHA-1 and would not be checked.
func selfSigned(certificate *x509.Certificate) bool {
	return bytes.Equal(certificate.RawIssuer, certificate.RawSubject) &&
		(len(certificate.AuthorityKeyId) == 0 || bytes.Equal(certificate.AuthorityKeyId, certificate.SubjectKeyId))
}

func subjects(certificates []*x509.Certificate) string {
	names := make([]string, len(certificates))
	for i, certificate := range certificates {
		names[i] = certificate.Subject.String()
	}
	return strings.Join(names, "; ")
}
