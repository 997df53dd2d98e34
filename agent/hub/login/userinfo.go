package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// maxUserInfo bounds the size of an answer, in bytes. A person's claims need far less.
const maxUserInfo = 1 << 20

// clockSkew is how far the provider's clock may be ahead, as go-oidc has it for nbf.
const clockSkew = 5 * time.Minute

// errOtherPerson means that userinfo answered for another subject (Core 1.0, 5.3.4).
var errOtherPerson = errors.New("userinfo endpoint: the answer is about another person")

// errTokenVoid means that userinfo refused the access token.
var errTokenVoid = errors.New("userinfo endpoint does not accept the access token")

// userInfoOf fetches the claims of subject from the userinfo endpoint. The answer may be signed
// (Core 1.0, 5.3.2); its subject must be the id_token's (5.3.4).
func (p *provider) userInfoOf(ctx context.Context, ep *endpoints, access, subject string) (claims, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ep.userInfo, nil)
	if err != nil {
		return nil, fmt.Errorf("userinfo endpoint: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+access)
	resp, err := p.c.HTTP.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, errTokenVoid
	case resp.StatusCode != http.StatusOK:
		return nil, unreachable(fmt.Errorf("userinfo endpoint answered %d", resp.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxUserInfo))
	if err != nil {
		return nil, unreachable(err)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "application/jwt" {
		if body, err = ep.keys.VerifySignature(p.with(ctx), string(body)); err != nil {
			return nil, fmt.Errorf("userinfo endpoint: cannot verify the answer: %w", err)
		}
	}
	var c claims
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("userinfo endpoint: cannot read the answer: %w", err)
	}
	if c.text("sub") != subject {
		return nil, errOtherPerson
	}
	return c, nil
}

// verify checks an id_token's signature, issuer, audience, authorized party and times, and returns
// its claims. The caller checks the nonce.
func (p *provider) verify(ctx context.Context, ep *endpoints, raw string) (*oidc.IDToken, claims, error) {
	id, err := ep.verifier.Verify(p.with(ctx), raw)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot verify the id_token: %w", err)
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, nil, fmt.Errorf("cannot read the id_token: %w", err)
	}
	// Core 1.0, 3.1.3.7: a token for several parties must name us as the authorized one.
	azp := c.text("azp")
	if azp != "" && azp != p.c.ClientID || azp == "" && len(id.Audience) > 1 {
		return nil, nil, fmt.Errorf("cannot verify the id_token: it was issued to %.80q, not to this hub", azp)
	}
	if ahead := id.IssuedAt.Sub(p.c.Now()); ahead > clockSkew {
		return nil, nil, fmt.Errorf("cannot verify the id_token: it was issued %s in the future; compare the clocks",
			ahead.Round(time.Second))
	}
	if id.Subject == "" {
		return nil, nil, errors.New("cannot verify the id_token: it names no subject")
	}
	return id, c, nil
}

// complete adds the claims of userinfo to c if c lacks one that the hub needs.
func (p *provider) complete(ctx context.Context, ep *endpoints, c claims, access string) error {
	_, haveGroups := c.lookup(p.c.GroupsClaim)
	_, haveVerified := c["email_verified"]
	missing := c.text(p.c.UsernameClaim) == "" ||
		p.c.GroupsClaim != "" && !haveGroups ||
		*p.c.RequireVerifiedEmail && !haveVerified
	if !missing || ep.userInfo == "" || access == "" {
		return nil
	}
	more, err := p.userInfoOf(ctx, ep, access, c.text("sub"))
	if errors.Is(err, errTokenVoid) {
		p.log.Warn("userinfo refused the access token: using the id_token alone", "event", "userinfo-refused", "issuer",
			p.c.Issuer)
		return nil
	}
	if err != nil {
		return err
	}
	c.merge(more)
	return nil
}

// exchange redeems a code at the token endpoint.
func (p *provider) exchange(ctx context.Context, ep *endpoints, code, verifier string) (*oauth2.Token, error) {
	tok, err := ep.oauth.Exchange(p.with(ctx), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, tokenFailure(err)
	}
	return tok, nil
}
