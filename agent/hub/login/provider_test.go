package login

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// fakeProvider is an OpenID provider that can be made to fail as real ones cannot.
// The happy path is proven against a real provider in the end-to-end tests.
type fakeProvider struct {
	*httptest.Server
	key, otherKey *rsa.PrivateKey
	now           func() time.Time

	mu       sync.Mutex
	down     bool
	claims   map[string]any                        // of the person who signs in
	userinfo map[string]any                        // nil: 401
	mangle   func(map[string]any)                  // changes an id_token before it is signed
	sign     func([]byte) string                   // nil: RS256 with key
	refresh  func() (int, map[string]any)          // nil: no refresh token is given
	codes    map[string]url.Values                 // code -> authorize request
	seen     []url.Values                          // token requests
	answer   func(authorize url.Values) url.Values // nil: code and state
	asked    int                                   // userinfo requests
	meta     func(map[string]any)                  // changes the metadata
	found    int                                   // requests for the metadata
	lasting  bool                                  // access tokens without an end
	ends     int                                   // seconds until the refresh token ends; 0: not said
	info     http.HandlerFunc                      // answers userinfo instead
}

const (
	clientID     = "hub"
	clientSecret = "s3cret & more"
)

func newFakeProvider(t *testing.T, now func() time.Time) *fakeProvider {
	t.Helper()
	p := &fakeProvider{now: now, codes: map[string]url.Values{}, key: keys()[0], otherKey: keys()[1],
		claims: map[string]any{"sub": "sub-alice", "preferred_username": "alice", "name": "Alice A",
			"groups": []string{"cgs"}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.found++
		meta := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize",
			"token_endpoint": p.URL + "/token",
			"jwks_uri":       p.URL + "/jwks", "userinfo_endpoint": p.URL + "/userinfo",
			"end_session_endpoint":                  p.URL + "/end?x=1",
			"id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"}}
		if p.meta != nil {
			p.meta(meta)
		}
		writeJSON(w, 200, meta)
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k1",
			Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		p.asked++
		if p.info != nil {
			p.info(w, r)
			return
		}
		if p.userinfo == nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, 200, p.userinfo)
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// keys makes the provider's key and another, once for all tests: it takes longer than most of them.
var keys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return keys
})

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// set changes p under its lock.
func (p *fakeProvider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// authorize acts as the person at the provider and returns the query of the answer.
func (p *fakeProvider) authorize(q url.Values) url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer != nil {
		return p.answer(q)
	}
	code := rand.Text()
	p.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
}

func (p *fakeProvider) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	p.seen = append(p.seen, r.PostForm)
	id, secret, _ := r.BasicAuth()
	if id, _ = url.QueryUnescape(id); id != clientID {
		writeJSON(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	if secret, _ = url.QueryUnescape(secret); secret != clientSecret {
		writeJSON(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	if r.PostForm.Get("grant_type") == "refresh_token" {
		status, body := p.refresh()
		if extra, ok := body["claims"].(map[string]any); ok {
			delete(body, "claims")
			body["id_token"] = p.idToken(extra, "")
		}
		writeJSON(w, status, body)
		return
	}
	q, ok := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || q.Get("code_challenge_method") != "S256" ||
		q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		writeJSON(w, 400, map[string]any{"error": "invalid_grant"})
		return
	}
	body := map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 3600,
		"id_token": p.idToken(p.claims, q.Get("nonce"))}
	if p.refresh != nil {
		body["refresh_token"] = "rt1"
	}
	if p.ends > 0 {
		body["refresh_expires_in"] = p.ends
	}
	if p.lasting {
		delete(body, "expires_in")
	}
	writeJSON(w, 200, body)
}

func (p *fakeProvider) idToken(claims map[string]any, nonce string) string {
	c := map[string]any{"iss": p.URL, "aud": clientID, "nonce": nonce, "iat": p.now().Unix(),
		"exp": p.now().Add(5 * time.Minute).Unix()}
	maps.Copy(c, claims)
	if p.mangle != nil {
		p.mangle(c)
	}
	payload, _ := json.Marshal(c)
	if p.sign != nil {
		return p.sign(payload)
	}
	return signed(jose.RS256, p.key, payload)
}

func signed(alg jose.SignatureAlgorithm, key any, payload []byte) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		panic(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// unsigned is a token with the algorithm none.
func unsigned(payload []byte) string {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`))
	return head + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}
