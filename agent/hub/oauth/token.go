package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// tokenError is the body of a refusal (RFC 6749, 5.2).
type tokenError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// maxForm bounds the body of a token request.
const maxForm = 64 << 10

// Token answers POST of the token endpoint: a code for an access token.
func (p *Provider) Token(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return refuse(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
	}
	client, ok := p.authenticate(r)
	if !ok {
		return refuse(w, http.StatusUnauthorized, "invalid_client", "unknown client or wrong secret")
	}
	if r.PostForm.Get("grant_type") != "authorization_code" {
		return refuse(w, http.StatusBadRequest, "unsupported_grant_type", "only authorization_code is supported")
	}
	code, err := p.cfg.Records.TakeCode(r.Context(), ident.HashToken(r.PostForm.Get("code")))
	if errors.Is(err, store.ErrNotFound) {
		return refuse(w, http.StatusBadRequest, "invalid_grant", "the code is unknown, used or expired")
	}
	if err != nil {
		return fmt.Errorf("code of %s: %w", client.ID, err)
	}
	if reason := mismatch(code, client.ID, r.PostForm); reason != "" {
		return refuse(w, http.StatusBadRequest, "invalid_grant", reason)
	}
	return p.grant(r.Context(), w, code)
}

// authenticate checks the client's id and secret (in the form, as JupyterHub's client
// sends them, or by HTTP Basic as RFC 6749 prefers).
func (p *Provider) authenticate(r *http.Request) (Client, bool) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, pass, ok := r.BasicAuth(); ok {
		id, secret = user, pass
	}
	return p.cfg.Clients.authenticate(id, secret)
}

// mismatch returns how a token request differs from the authorisation request that the code
// was made for; "" when they agree.
func mismatch(code store.Code, client string, form url.Values) string {
	switch {
	case code.ClientID != client:
		return "the code was made for another client"
	case !time.Now().Before(code.Expires):
		return "the code is unknown, used or expired"
	case form.Get("redirect_uri") != code.RedirectURI:
		return "redirect_uri is not the one of the authorisation request"
	case code.CodeChallenge == "" && form.Get("code_verifier") != "": // RFC 9700, 2.1.1: a PKCE downgrade
		return "code_verifier without a code_challenge in the authorisation request"
	case code.CodeChallenge != "" && !verifies(code.CodeChallenge, form.Get("code_verifier")):
		return "code_verifier does not fit the code_challenge"
	}
	return ""
}

// verifies checks a PKCE verifier against its S256 challenge (RFC 7636, 4.6).
func verifies(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(want), []byte(challenge)) == 1
}

// grant makes the access token. It belongs to the browser's session and ends with it.
func (p *Provider) grant(ctx context.Context, w http.ResponseWriter, code store.Code) error {
	token := rand.Text()
	now := time.Now()
	_, err := p.cfg.Records.CreateToken(ctx, store.Token{
		Hash: ident.HashToken(token), Kind: store.OAuthToken, User: code.User, ClientID: code.ClientID,
		SessionID: code.SessionID, Scopes: code.Scopes, Note: "Server at " + code.RedirectURI, Created: now,
		Expires: now.Add(p.cfg.TokenLife),
	})
	if err != nil {
		return fmt.Errorf("token of %s for %s: %w", code.User, code.ClientID, err)
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer",
		"expires_in": int(p.cfg.TokenLife.Seconds()), "scope": strings.Join(code.Scopes, " "),
	})
}

func refuse(w http.ResponseWriter, status int, code, description string) error {
	return writeJSON(w, status, tokenError{code, description})
}

// writeJSON answers a token request; RFC 6749, 5.1 forbids caches to keep it.
func writeJSON(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the client is gone; the status is sent
	return nil
}
