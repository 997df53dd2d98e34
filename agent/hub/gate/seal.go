package gate

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// credential is what a cookie or a ticket stands for: a session of the hub, or a token.
type credential struct {
	session string // the session's id, or ""
	token   string // the token itself, or ""
}

// purpose is what something is sealed for. What was sealed for one is worth nothing for another.
type purpose string

const (
	forCookie purpose = "cookie "
	forTicket purpose = "ticket "
)

// ticketTime is how long a ticket is good for: a redirect follows at once.
const ticketTime = 30 * time.Second

// The kinds of a credential.
const (
	kindSession = 's'
	kindToken   = 't'
)

// sealer encrypts credentials with AES-256-GCM. The path of the server is authenticated with them, and what they are
// for.
type sealer struct {
	aead cipher.AEAD
	life map[purpose]time.Duration
}

func newSealer(key []byte, cookieLife time.Duration) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("cannot use the key for servers' cookies: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead, map[purpose]time.Duration{forCookie: cookieLife, forTicket: ticketTime}}, err
}

// seal returns a credential as a text of letters, digits, "-" and "_".
func (s sealer) seal(p purpose, path string, c credential, now time.Time) string {
	kind, text := byte(kindSession), c.session
	if c.token != "" {
		kind, text = kindToken, c.token
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))
	plain = append(append(plain, kind), text...)
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(string(p)+path)))
}

// maxSealed bounds what is decoded, far above what seal returns for any token.
const maxSealed = 8 << 10

// open is the reverse of seal. It refuses what has expired, and what was sealed for something else.
func (s sealer) open(p purpose, path, sealed string, now time.Time) (c credential, ok bool) {
	if len(sealed) > maxSealed {
		return c, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return c, false
	}
	plain, err := s.aead.Open(nil, nil, raw, []byte(string(p)+path))
	if err != nil || len(plain) < 10 {
		return c, false
	}
	made := time.Unix(int64(binary.BigEndian.Uint64(plain)), 0)
	if now.Sub(made) > s.life[p] {
		return c, false
	}
	switch text := string(plain[9:]); plain[8] {
	case kindSession:
		return credential{session: text}, true
	case kindToken:
		return credential{token: text}, true
	}
	return c, false
}
