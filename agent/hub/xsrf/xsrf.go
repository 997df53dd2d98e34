// Package xsrf makes and checks the tokens by which the hub knows a request of its own pages from one that another page
// of the same origin makes with the visitor's cookies. It must never make a token that anything but a page of the hub
// can have: servers know the id of a session, so a token depends on a key that never leaves the hub.
package xsrf

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The names under which a token comes (Tornado's, which JupyterHub's clients use: jupyterhub/_xsrf_utils.py).
const (
	Field     = "_xsrf"       // of a form or a query
	Header    = "X-XSRFToken" // of a script's request
	altHeader = "X-CSRFToken"
)

// streamLife is how long a token for a stream of events is valid. A browser that connects again later is refused, and
// its page loads itself again.
const streamLife = 2 * time.Minute

// Tokens makes and checks tokens. Make it with New.
type Tokens struct {
	key []byte
	now func() time.Time
}

// New makes Tokens with a key of at least 32 random bytes, which all processes of the hub must share. now is the clock.
func New(key []byte, now func() time.Time) *Tokens { return &Tokens{key, now} }

// Of returns the token of a session for forms and for the header of requests, the same as long as the session lasts.
func (t *Tokens) Of(sessionID string) string { return t.sign("session", sessionID) }

// Valid reports whether a token is that of a session. No session has the id "".
func (t *Tokens) Valid(sessionID, token string) bool {
	return sessionID != "" && equal(token, t.Of(sessionID))
}

// ForStream returns a token for a stream of events at a URL path, since a browser's EventSource can send no header. It
// stands in a URL, which more people see than a form, so it is valid for a short time and for that path alone.
func (t *Tokens) ForStream(sessionID, path string) string {
	until := strconv.FormatInt(t.now().Add(streamLife).Unix(), 10)
	return until + "." + t.sign("stream", sessionID, path, until)
}

// validForStream reports whether a token is one of ForStream.
func (t *Tokens) validForStream(sessionID, path, token string) bool {
	until, _, found := strings.Cut(token, ".")
	seconds, err := strconv.ParseInt(until, 10, 64)
	if !found || err != nil || sessionID == "" || t.now().Unix() >= seconds {
		return false
	}
	return equal(token, until+"."+t.sign("stream", sessionID, path, until))
}

// Sent reports whether a script's request of a session has brought a token: the session's in a header or the query, or
// one for a stream in the query.
func (t *Tokens) Sent(sessionID string, r *http.Request) bool {
	query := r.URL.Query().Get(Field)
	for _, token := range []string{r.Header.Get(Header), r.Header.Get(altHeader), query} {
		if t.Valid(sessionID, token) {
			return true
		}
	}
	return r.Method == http.MethodGet && t.validForStream(sessionID, r.URL.EscapedPath(), query)
}

// sign returns a MAC of a purpose and what it is for. Each part has its length in front, so that no two lists make the
// same text.
func (t *Tokens) sign(purpose string, parts ...string) string {
	mac := hmac.New(sha256.New, t.key)
	for _, p := range append([]string{purpose}, parts...) {
		mac.Write([]byte(strconv.Itoa(len(p)) + ":" + p)) // never fails
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
