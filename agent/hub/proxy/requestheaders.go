package proxy

import (
	"net/http"
	"strings"
)

// Programs behind a proxy believe what it says in a request's headers: where the request came from, who sent it, and
// which path and method were meant. The hub says the first (rewrite) and nothing of the rest, so no such header may
// pass from a client. Whoever sends it: a proxy in front of the hub may have passed on what its client sent.

// asserted are the names of headers by which proxies state something, with what it is.
var asserted = map[string]string{ // read only
	"Forwarded":              "where the request came from (RFC 7239)",
	"X-Real-Ip":              "the client's address, of nginx; Tornado and jupyterhub-singleuser believe it",
	"X-Scheme":               "http or https; Tornado believes it",
	"X-Script-Name":          "the path below which a WSGI program thinks that it is",
	"X-Host":                 "the host that was asked for",
	"X-Http-Host-Override":   "the host that was asked for",
	"X-Http-Method":          "another method than the one that the hub has judged",
	"X-Http-Method-Override": "another method than the one that the hub has judged",
	"X-Method-Override":      "another method than the one that the hub has judged",
	"X-Rewrite-Url":          "another path than the one that the hub has judged, of IIS; Zend and Symfony believed it",
	"X-Sendfile-Type":        "which header makes the proxy send a file; Rack believes it",
	"X-Url-Scheme":           "http or https",
	"Http2-Settings":         "belongs to an upgrade to HTTP/2 (RFC 7540, 3.2.1)",
	"Proxy":                  "becomes HTTP_PROXY in the environment of a CGI program (httpoxy)",
	"Client-Cert":            "the client's certificate (RFC 9440)",
	"Client-Cert-Chain":      "the client's certificate (RFC 9440)",
	"Client-Ip":              "the client's address; Rails believes it",
	"True-Client-Ip":         "the client's address, of Akamai and Cloudflare",
	"X-Client-Dn":            "who asks, by a certificate",
	"X-Client-Ip":            "the client's address",
	"X-Client-S-Dn":          "who asks, by a certificate",
	"X-Client-Verify":        "whether the client's certificate is good",
	"X-Cluster-Client-Ip":    "the client's address",
	"X-Proxyuser-Ip":         "the client's address",
	"X-Originating-Ip":       "the client's address",
	"Cf-Connecting-Ip":       "the client's address, of Cloudflare",
	"Cf-Connecting-Ipv6":     "the client's address, of Cloudflare",
	"Fastly-Client-Ip":       "the client's address, of Fastly",
	"X-Azure-Clientip":       "the client's address, of Azure",
	"X-Auth-Email":           "who asks",
	"X-Auth-Groups":          "who asks",
	"X-Auth-Name":            "who asks",
	"X-Auth-Roles":           "who asks",
	"X-Auth-User":            "who asks",
	"X-Auth-Username":        "who asks",
	"X-Email":                "who asks",
	"X-Groups":               "who asks",
	"X-User":                 "who asks",
	"X-User-Email":           "who asks",
	"X-User-Id":              "who asks",
	"X-User-Name":            "who asks",
	"X-Username":             "who asks",
	"X-Token-Subject":        "who asks",
	"X-Rstudio-Request":      "another path than the one that the hub has judged, of RStudio",
	"X-Rstudio-Root-Path":    "the path below which RStudio thinks that it is",
	"X-Rstudio-Username":     "who asks, of RStudio",
	"X-Streamlit-User":       "who asks, of Streamlit",
	"Eppn":                   "who asks, of Shibboleth",
}

// assertedBegin is how names begin of which every one is as those of asserted.
var assertedBegin = [...]struct{ prefix, what string }{ // read only
	{"X-Forwarded", "where the request came from, and of oauth2-proxy who asks"},
	{"X-Original-", "another path, method or host than the one that the hub has judged, of IIS and nginx"},
	{"X-Envoy-", "where the request came from and where it goes, of Envoy"},
	{"X-Accel-", "X-Accel-Mapping makes Rack have any file sent"},
	{"X-Ssl-", "the client's certificate"},
	{"Ssl-", "the client's certificate"},
	{"X-Client-Cert", "the client's certificate"},
	{"Remote-", "who asks (REMOTE_USER of CGI), of Authelia and Apache"},
	{"X-Remote-", "who asks, of Apache, Shibboleth and Kubernetes"},
	{"Redirect-Remote-", "who asks, of Apache"},
	{"Proxy-Remote-", "who asks"},
	{"X-Auth-Request-", "who asks, of oauth2-proxy and nginx"},
	{"X-Authenticated-", "who asks"},
	{"X-Authentik-", "who asks, of authentik"},
	{"X-Pomerium-", "who asks, of Pomerium"},
	{"X-Vouch-", "who asks, of Vouch"},
	{"X-Webauth-", "who asks, of Grafana's auth proxy"},
	{"X-Goog-Authenticated-", "who asks, of Google's proxy"},
	{"X-Goog-Iap-", "who asks, of Google's proxy"},
	{"X-Ms-Client-Principal", "who asks, of Azure"},
	{"X-Ms-Token-", "who asks, of Azure"},
	{"X-Amzn-Oidc-", "who asks, of Amazon's balancer"},
	{"Cf-Access-", "who asks, of Cloudflare"},
	{"Tailscale-User-", "who asks, of tailscale serve"},
	{"Oidc-", "who asks, of mod_auth_openidc"},
	{"Mellon-", "who asks, of mod_auth_mellon"},
	{"Shib-", "who asks, of Shibboleth"},
}

// states reports whether a header of a request, by its canonical name, states what only a proxy may, or could be taken
// for one that does: programs that read headers from their environment (CGI, WSGI, Rack) see every other character than
// a letter or digit as "_", so that X_Forwarded_For or X.Forwarded.For would be X-Forwarded-For for them.
func states(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return true
		}
	}
	if _, found := asserted[name]; found {
		return true
	}
	for i := range assertedBegin {
		if strings.HasPrefix(name, assertedBegin[i].prefix) {
			return true
		}
	}
	return false
}

// carriesHTTP reports whether an Upgrade header asks for a protocol in which more requests would follow: HTTP/2 in
// plain text (RFC 7540, 3.2), another HTTP, or TLS (RFC 2817). The proxy would pass them on as bytes, with the headers
// that withoutClaims takes out, to any path of the upstream.
func carriesHTTP(upgrade []string) bool {
	for _, line := range upgrade {
		for word := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(word)), "/")
			if name == "h2c" || name == "h2" || name == "http" || name == "tls" {
				return true
			}
		}
	}
	return false
}

// withoutClaims takes out of a request's headers all that states reports.
func withoutClaims(h http.Header) {
	if carriesHTTP(h["Upgrade"]) {
		delete(h, "Upgrade")
		delete(h, "Connection")
	}
	for name := range h {
		if states(name) {
			delete(h, name)
		}
	}
}
