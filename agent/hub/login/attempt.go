package login

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// attemptTime is how long a person may take at the provider.
const attemptTime = 15 * time.Minute

// attempt is a sign-in that has begun. An encrypted cookie of its own, named after its state, holds
// it: several tabs may sign in at once, an attempt works in no other browser, and visitors who never
// sign in leave nothing in the database.
type attempt struct {
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // PKCE, RFC 7636
	Next     string `json:"u"`
	Expires  int64  `json:"x"` // seconds since 1970

	state string // not part of the text, but of what the seal authenticates
}

func newAttempt(next string, now time.Time) attempt {
	return attempt{state: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next,
		Expires: now.Add(attemptTime).Unix()}
}

// sealer encrypts attempts with AES-256-GCM.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("cannot use the key for sign-in cookies: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) seal(a attempt) string {
	text, _ := json.Marshal(a) // strings and a number always have a JSON form
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, []byte(a.state)))
}

var errNoAttempt = errors.New("this browser has begun no sign-in of that state")

// attempt returns the attempt of a state if this browser began it, and not longer than attemptTime ago.
func (s *Service) attempt(r *http.Request, state string) (attempt, error) {
	cookie, err := r.Cookie(s.cookies.Attempt(state))
	if state == "" || err != nil {
		return attempt{}, errNoAttempt
	}
	return s.seal.open(cookie.Value, state, s.c.Now())
}

// open is the reverse of seal. It refuses what has expired, and what was sealed for another state.
func (s sealer) open(value, state string, now time.Time) (attempt, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return attempt{}, errNoAttempt
	}
	text, err := s.aead.Open(nil, nil, sealed, []byte(state))
	if err != nil {
		return attempt{}, errNoAttempt
	}
	a := attempt{state: state}
	if err := json.Unmarshal(text, &a); err != nil {
		return attempt{}, errNoAttempt
	}
	if now.Unix() >= a.Expires {
		return attempt{}, errNoAttempt
	}
	return a, nil
}
