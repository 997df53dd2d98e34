package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// soon is how long before its end a certificate is warned of; renewal clients begin
// thirty days before.
const soon = 14 * 24 * time.Hour

func certificate(ctx context.Context, r *run) []finding {
	if r.settings == nil {
		return noSettings()
	}
	if r.settings.HTTP.BehindProxy {
		return ok("another proxy ends TLS")
	}
	leaf, err := r.leaf()
	var unread *fs.PathError
	switch {
	case errors.As(err, &unread) && !r.Host.Root():
		return unknown(asRoot, "%v", err)
	case errors.As(err, &unread):
		return fail("set certificate in [tls] of /etc/gifford-hub/hub.toml", "%v", err)
	}
	for _, file := range r.tlsFiles() {
		if found := r.hubReads(ctx, file); found != nil {
			return found
		}
	}
	if err != nil {
		file := r.settings.TLS.Certificate
		return fail("openssl x509 -in "+file+" -noout -text", "%s: %v", file, err)
	}
	return judge(leaf, r.settings.PublicHost(), time.Now())
}

// tlsFiles returns the files that hold the certificate and its key.
func (r *run) tlsFiles() []string {
	if r.settings.TLS.Key == "" {
		return []string{r.settings.TLS.Certificate}
	}
	return []string{r.settings.TLS.Certificate, r.settings.TLS.Key}
}

// leaf reads the certificate that belongs to the key. The error is an fs.PathError for a file that cannot be read.
func (r *run) leaf() (*x509.Certificate, error) {
	var text []byte
	for _, file := range r.tlsFiles() {
		b, err := r.Host.ReadFile(file)
		if err != nil {
			return nil, err
		}
		text = append(append(text, b...), '\n')
	}
	return leafOf(text)
}

// hubReads tries to read a file as the hub's user would. It returns nil when that works.
func (r *run) hubReads(ctx context.Context, file string) []finding {
	if !r.Host.Root() {
		return nil // what matters is tested by root
	}
	if _, err := r.Host.Run(ctx, "getent", "passwd", hubUser); err != nil {
		return fail("systemd-sysusers", "the user %s does not exist", hubUser)
	}
	if _, err := r.Host.Run(ctx, "setpriv", "--reuid="+hubUser, "--regid="+hubUser, "--init-groups", "test", "-r",
		file); err != nil {
		return fail(fmt.Sprintf("setfacl -m u:%s:r %s   (and u:%s:x on the directories above it: namei -l %s)", hubUser,
			file, hubUser, file),
			"the user %s may not read %s", hubUser, file)
	}
	return nil
}

// leafOf returns the certificate that belongs to the key, in any order of blocks.
func leafOf(text []byte) (*x509.Certificate, error) {
	var certificates [][]byte
	var key []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificates = append(certificates, pem.EncodeToMemory(block))
		} else if key == nil && strings.HasSuffix(block.Type, "PRIVATE KEY") {
			key = pem.EncodeToMemory(block)
		}
	}
	switch {
	case len(certificates) == 0:
		return nil, fmt.Errorf("there is no certificate in it")
	case key == nil:
		return nil, fmt.Errorf("there is no private key in it, and tls.key names none (a key with a passphrase " +
			"cannot be used)")
	}
	for _, c := range certificates {
		if pair, err := tls.X509KeyPair(c, key); err == nil {
			return x509.ParseCertificate(pair.Certificate[0])
		}
	}
	return nil, fmt.Errorf("the private key belongs to none of the %d certificates", len(certificates))
}

// judge checks the names and the dates.
func judge(leaf *x509.Certificate, publicHost string, now time.Time) []finding {
	const renew = "renew the certificate; the hub takes up the new file by itself"
	end := leaf.NotAfter.Format(time.DateOnly)
	switch {
	case leaf.VerifyHostname(publicHost) != nil:
		return fail("get a certificate for "+publicHost, "the certificate is not for %s", publicHost)
	case now.Before(leaf.NotBefore):
		return fail("timedatectl", "the certificate is valid from %s on; is the clock right?",
			leaf.NotBefore.Format(time.DateTime))
	case now.After(leaf.NotAfter):
		return fail(renew, "the certificate has ended on %s", end)
	case leaf.NotAfter.Sub(now) < soon:
		return warn(renew, "the certificate ends on %s", end)
	}
	return ok("the certificate is for %s and ends on %s", publicHost, end)
}
