package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// discoveryAge is after how long the metadata is read again. A provider may move its endpoints.
const discoveryAge = time.Hour

// discoveryPause is how long a failed discovery is remembered, so that a provider
// that is down is not asked at every page.
const discoveryPause = 3 * time.Second

// provider finds the OpenID provider when it is first needed, and again until it
// answers, so that the hub starts without it.
type provider struct {
	c   Config
	log *slog.Logger

	flight singleflight.Group // one discovery at a time

	mu      sync.Mutex // guards what follows
	found   *endpoints // the last good discovery's: it stays when a later one fails
	failed  error      // the last discovery's
	retryAt time.Time  // when to read the metadata again
}

// endpoints is a provider that was found.
type endpoints struct {
	oauth      oauth2.Config
	verifier   *oidc.IDTokenVerifier
	keys       oidc.KeySet
	userInfo   string
	endSession string
}

// metadata is the part of OpenID Connect Discovery 1.0, 3 that is used.
type metadata struct {
	JWKS        string   `json:"jwks_uri"`
	EndSession  string   `json:"end_session_endpoint"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
}

// unreachable is the error for people when the provider does not answer.
func unreachable(cause error) error {
	return &httpx.Error{Status: http.StatusServiceUnavailable, Public: "the sign-in server cannot be reached",
		Hint: "try again in a minute; notebooks that run are not affected", Cause: cause}
}

// with returns ctx with the HTTP client for oauth2 and oidc.
func (p *provider) with(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.c.HTTP)
}

// get returns the provider, or an httpx.Error when it does not answer and never has. Metadata that is old is read again
// in the background: nobody waits for it, and the last good one serves until then.
func (p *provider) get(ctx context.Context) (*endpoints, error) {
	ep, due, err := p.known()
	switch {
	case err != nil:
		return nil, err
	case ep != nil && due:
		go func() { _, _ = p.renew(ctx) }() // ends with the client's time-out
		return ep, nil
	case ep != nil:
		return ep, nil
	}
	return p.renew(ctx)
}

// renew discovers the provider, once however many ask.
func (p *provider) renew(ctx context.Context) (*endpoints, error) {
	v, err, _ := p.flight.Do("", func() (any, error) {
		if ep, due, err := p.known(); ep != nil && !due || err != nil {
			return ep, err
		}
		// A caller whose request ends must not fail the others that wait.
		ep, err := p.discover(p.with(context.WithoutCancel(ctx)))
		return ep, p.remember(ep, err)
	})
	if err != nil {
		return nil, err
	}
	return v.(*endpoints), nil
}

// known returns the last good endpoints, whether it is time to read the metadata again, and an error where there are
// none and the provider was asked only just now.
func (p *provider) known() (ep *endpoints, due bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	due = !p.c.Now().Before(p.retryAt)
	if p.found == nil && p.failed != nil && !due {
		return nil, false, unreachable(p.failed)
	}
	return p.found, due, nil
}

// remember stores the result of a discovery and logs a change.
func (p *provider) remember(ep *endpoints, err error) error {
	p.mu.Lock()
	before, had := p.failed, p.found != nil
	p.failed = err
	if err == nil {
		p.found, p.retryAt = ep, p.c.Now().Add(discoveryAge)
	} else {
		p.retryAt = p.c.Now().Add(discoveryPause)
		if had {
			p.retryAt = p.c.Now().Add(discoveryAge / 60)
		}
	}
	p.mu.Unlock()
	switch {
	case err == nil && before != nil:
		p.log.Info("sign-in server reached again", "event", "provider-up", "issuer", p.c.Issuer)
	case err != nil && before == nil && had:
		p.log.Warn("the sign-in server's metadata cannot be read again: what it said before still holds", "event",
			"provider-down", "issuer", p.c.Issuer, "error", err.Error())
	case err != nil && before == nil:
		p.log.Error("sign-in server cannot be reached: nobody can sign in", "event", "provider-down", "issuer",
			p.c.Issuer, "error", err.Error())
	}
	if err != nil {
		return unreachable(err)
	}
	return nil
}

// discover fetches the provider's metadata, unless the settings have all endpoints.
func (p *provider) discover(ctx context.Context) (*endpoints, error) {
	set, meta := p.c.Endpoints, metadata{}
	if !set.complete() {
		found, err := oidc.NewProvider(ctx, p.c.Issuer)
		if err != nil {
			return nil, fmt.Errorf("cannot discover provider %q: %w", p.c.Issuer, err)
		}
		if err := found.Claims(&meta); err != nil {
			return nil, fmt.Errorf("cannot read the metadata of provider %q: %w", p.c.Issuer, err)
		}
		fill(&set.Authorization, found.Endpoint().AuthURL)
		fill(&set.Token, found.Endpoint().TokenURL)
		fill(&set.UserInfo, found.UserInfoEndpoint())
		fill(&set.JWKS, meta.JWKS)
		fill(&set.EndSession, meta.EndSession)
	}
	if !set.complete() {
		return nil, fmt.Errorf("provider %q names no authorization, token or jwks endpoint: set them by hand",
			p.c.Issuer)
	}
	return p.assemble(ctx, set, meta), nil
}

func fill(dst *string, v string) {
	if *dst == "" {
		*dst = v
	}
}

func (p *provider) assemble(ctx context.Context, set Endpoints, meta metadata) *endpoints {
	keys := oidc.NewRemoteKeySet(ctx, set.JWKS)
	return &endpoints{
		oauth: oauth2.Config{ClientID: p.c.ClientID, ClientSecret: p.c.ClientSecret, RedirectURL: p.c.CallbackURL,
			Scopes: p.c.Scopes,
			Endpoint: oauth2.Endpoint{AuthURL: set.Authorization, TokenURL: set.Token,
				AuthStyle: authStyle(p.c, meta.AuthMethods)}},
		verifier: oidc.NewVerifier(p.c.Issuer, keys, &oidc.Config{ClientID: p.c.ClientID, Now: p.c.Now,
			SupportedSigningAlgs: algorithms(meta.Algorithms)}),
		keys:       keys,
		userInfo:   set.UserInfo,
		endSession: set.EndSession,
	}
}

// algorithms returns the signature algorithms to accept: only those with public keys. "none" and
// those that use the client's secret are never accepted, whatever the provider offers.
func algorithms(offered []string) []string {
	asymmetric := []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256,
		oidc.PS384, oidc.PS512, oidc.EdDSA}
	if len(offered) == 0 {
		return asymmetric
	}
	both := slices.DeleteFunc(asymmetric, func(a string) bool { return !slices.Contains(offered, a) })
	if len(both) == 0 {
		return []string{oidc.RS256} // required of every provider by Discovery 1.0, 3
	}
	return both
}

// authStyle returns how the hub authenticates at the token endpoint. It never leaves trying both
// ways to oauth2: some providers void the code after a failure. Without metadata it is basic
// (Discovery 1.0, 3).
func authStyle(c Config, offered []string) oauth2.AuthStyle {
	switch {
	case c.ClientSecret == "", c.ClientAuth == "client_secret_post":
		return oauth2.AuthStyleInParams
	case c.ClientAuth == "client_secret_basic", len(offered) == 0, slices.Contains(offered, "client_secret_basic"):
		return oauth2.AuthStyleInHeader
	case slices.Contains(offered, "client_secret_post"):
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// tokenError is a refusal of the token endpoint. Its text omits the body of the answer.
type tokenError struct {
	status int
	code   string // RFC 6749, 5.2
}

func (e *tokenError) Error() string {
	return fmt.Sprintf("token endpoint answered %d, error %q", e.status, e.code)
}

// invalidGrant reports whether the provider refused the code or refresh token as void.
func invalidGrant(err error) bool {
	var e *tokenError
	return errors.As(err, &e) && e.code == "invalid_grant"
}

// tokenFailure classifies an error of oauth2: a refusal by the provider becomes a tokenError, all
// others mean that it did not answer.
func tokenFailure(err error) error {
	var re *oauth2.RetrieveError
	if errors.As(err, &re) && re.Response != nil && re.Response.StatusCode < http.StatusInternalServerError {
		return &tokenError{status: re.Response.StatusCode, code: plainCode(re.ErrorCode)}
	}
	if re != nil && re.Response != nil {
		return unreachable(fmt.Errorf("token endpoint answered %d", re.Response.StatusCode))
	}
	return unreachable(err)
}

// plainCode returns an OAuth error code, or "unknown" for a text that is none: pages and the journal
// must not contain arbitrary text of the provider.
func plainCode(code string) string {
	if len(code) == 0 || len(code) > 40 {
		return "unknown"
	}
	for i := range len(code) {
		if c := code[i]; (c < 'a' || c > 'z') && c != '_' {
			return "unknown"
		}
	}
	return code
}
