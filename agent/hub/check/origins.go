package check

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// anyMember is a name for which DNS and certificate are asked. The underscore of a Unix name makes it an escaped one,
// so it is no host that somebody has set up.
const anyMember = "gifford_check"

// memberOrigins checks whether each member has an origin, and whether its names lead here.
func memberOrigins(ctx context.Context, r *run) []finding {
	if r.settings == nil {
		return noSettings()
	}
	at := r.settings.Origins()
	if !at.Separate() {
		domain := r.settings.PublicHost()
		if net.ParseIP(domain) != nil {
			domain = "hub.example.org"
		}
		return warn(`set origin in [servers], such as "https://{user}.`+domain+`"; see security.md`,
			"all servers share the hub's web origin, so the hub alone keeps their pages apart")
	}
	member, err := ident.ParseUser(anyMember)
	if err != nil {
		return unknown("", "%v", err)
	}
	u, err := url.Parse(at.Server(member))
	if err != nil {
		return unknown("", "%v", err)
	}
	wildcard := "*." + strings.SplitN(u.Hostname(), ".", 2)[1]
	if _, err := r.Host.Run(ctx, "getent", "ahosts", u.Hostname()); err != nil {
		return fail("add an entry for "+wildcard+" to DNS, with the hub's address",
			"%s has no address: nobody reaches a server", u.Hostname())
	}
	if found := r.coversOrigins(u.Hostname(), wildcard); found != nil {
		return found
	}
	return ok("each member has an origin below %s", strings.TrimPrefix(wildcard, "*."))
}

// coversOrigins checks that the certificate is for members' origins too. It returns nil when it is, and where another
// proxy or the check of the certificate itself has the say.
func (r *run) coversOrigins(host, wildcard string) []finding {
	if r.settings.HTTP.BehindProxy {
		return nil
	}
	leaf, err := r.leaf()
	if err != nil || leaf.VerifyHostname(r.settings.PublicHost()) != nil {
		return nil // the check of the certificate says it
	}
	if leaf.VerifyHostname(host) != nil {
		return fail("get a certificate for "+wildcard+" and "+r.settings.PublicHost(),
			"the certificate is not for %s", wildcard)
	}
	return nil
}
