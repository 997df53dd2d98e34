package proxy

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRequestHeaders is the table of what passes of a request's headers to a server and to a service. A client sends
// them, over a trusted proxy and without one.
func TestRequestHeaders(t *testing.T) {
	tests := map[string]struct{ sent, want []string }{
		"its own": same("Accept: */*", "Origin: https://a.example", "Referer: https://a.example/",
			"Sec-Fetch-Mode: navigate", "User-Agent: x", "Range: bytes=0-1", "If-None-Match: x",
			"Service-Worker: script"),
		"its credentials": same("Authorization: token x", "Cookie: a=b", "X-Auth-Token: x", "X-Xsrftoken: x",
			"Private-Token: x"),
		"of Jupyter's programs": same("X-Requested-With: XMLHttpRequest", "X-Rs-Csrf-Token: x", "Tus-Resumable: 1",
			"X-Client-Data: x", "X-Useragent: x"),
		"for tracing": same("Traceparent: x", "X-Request-Id: x"),

		"forwarded": dropped("X-Forwarded: x", "X-Forwarded-Server: x", "X-Forwarded-Prefix: /x",
			"X-Forwarded-Scheme: x",
			"X-Forwarded-Ssl: on", "X-Forwarded-User: dora", "X-Forwarded-Email: d@x", "X-Forwarded-Groups: admin",
			"X-Forwarded-Preferred-Username: dora", "X-Forwarded-Access-Token: x", "X-Forwarded-Client-Cert: x",
			"x-forwarded-ANYTHING: x"),
		"addresses": dropped("Client-IP: x", "True-Client-IP: x", "X-Client-IP: x", "X-Cluster-Client-IP: x",
			"CF-Connecting-IP: x", "CF-Connecting-IPv6: x", "Fastly-Client-IP: x", "X-Azure-ClientIP: x",
			"X-Originating-IP: x", "X-Remote-IP: x", "X-Remote-Addr: x", "X-ProxyUser-IP: x",
			"X-Envoy-External-Address: x"),
		"who asks": dropped("Remote-User: dora", "REMOTE-USER: dora", "Remote-Groups: x", "X-Remote-User: dora",
			"X-Remote-Group: admin", "Redirect-Remote-User: dora", "Proxy-Remote-User: dora", "X-User: dora",
			"X-Username: dora", "X-User-Email: x", "X-User-Id: x", "X-User-Name: x", "X-Email: x", "X-Groups: x",
			"X-Auth-Request-User: dora", "X-Auth-User: dora", "X-Auth-Name: x", "X-Auth-Email: x", "X-Auth-Groups: x",
			"X-Auth-Roles: x", "X-Auth-Username: x", "X-Authenticated-User: dora", "X-Authenticated-Userid: x",
			"X-Token-Subject: x", "Eppn: x", "Shib-Identity: x", "OIDC-Claim-Sub: x", "Mellon-Name: x"),
		"who asks, by products": dropped("X-WEBAUTH-USER: dora", "X-authentik-username: x", "X-Pomerium-Claim-Email: x",
			"X-Vouch-User: x", "X-Goog-Authenticated-User-Email: x", "X-Goog-IAP-JWT-Assertion: x",
			"X-MS-Client-Principal: x", "X-MS-Client-Principal-Name: x", "X-MS-Token-AAD-Id-Token: x",
			"X-Amzn-Oidc-Data: x", "Cf-Access-Jwt-Assertion: x", "Tailscale-User-Login: x", "X-RStudio-Username: x",
			"X-Streamlit-User: x"),
		"certificates": dropped("Client-Cert: x", "Client-Cert-Chain: x", "X-SSL-Client-Verify: SUCCESS",
			"X-Client-Cert: x", "X-Client-Certificate: x", "X-Client-DN: x", "X-Client-S-DN: x", "X-Client-Verify: x",
			"SSL-Client-S-Dn: x"),
		"another request than the one that was judged": dropped("X-Original-URL: /x", "X-Rewrite-URL: /x",
			"X-Original-Method: x", "X-Original-Host: x", "X-Original-For: x", "X-HTTP-Method-Override: DELETE",
			"X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "X-Host: x", "X-HTTP-Host-Override: x",
			"X-Script-Name: /x", "X-URL-Scheme: x", "X-RStudio-Request: x", "X-RStudio-Root-Path: x"),
		"for proxies": dropped("Proxy: http://evil.example", "X-Accel-Mapping: /=/",
			"X-Sendfile-Type: X-Accel-Redirect",
			"Proxy-Authorization: Basic x"),
		"an upgrade": same("Connection: Upgrade", "Upgrade: websocket"),
		"an upgrade to HTTP/2": dropped("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
			"HTTP2-Settings: AAMAAABk"),
		"its settings left":      dropped("Connection: Upgrade", "Upgrade: H2C", "HTTP2-Settings: AAMAAABk"),
		"among others":           dropped("Connection: Upgrade", "Upgrade: websocket, h2c"),
		"an upgrade to HTTP/1.1": dropped("Connection: Upgrade", "Upgrade: HTTP/1.1"),
		"an upgrade to TLS":      dropped("Connection: Upgrade", "Upgrade: TLS/1.0"),
		"names that are others to CGI": dropped("X_Forwarded_For: x", "Remote_User: dora", "x_anything: x",
			"X.Forwarded.For: x", "Content_Length: 5", "X!Y: x", "HTTP_PROXY: x", "_: x", "Authorization_: x"),
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, trusted := range [][]netip.Prefix{nil, {netip.MustParsePrefix("127.0.0.0/8")}} {
				for prefix, got := range arrives(t, trusted, tt.sent) {
					want := http.Header{}
					for _, line := range tt.want {
						for name, value := range readHeader(t, "\r\n"+line+"\r\n\r\n") {
							want[name] = value
						}
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s, %d trusted (-want +got):\n%s", prefix, len(trusted), diff)
					}
				}
			}
		})
	}
}

// arrives sends headers to a server and to a service and returns those that arrive, but for the hub's own.
func arrives(t *testing.T, trusted []netip.Prefix, headers []string) map[string]http.Header {
	t.Helper()
	p := newProxy(t, Config{TrustedProxies: trusted})
	var got http.Header
	at := socket(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	p.SetRoute(key(t, "alice", ""), addressOf(at))
	service, err := p.ForService(Upstream{Name: "board", URL: "unix:" + at})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]http.Header{}
	for prefix, h := range map[string]http.Handler{"/user/alice/": passing(p), "/services/board/": service} {
		got = nil
		raw(t, front(t, h).Listener.Addr().String(), prefix, headers...)
		for _, ours := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
			"X-Real-Ip", "X-Scheme"} {
			if len(got[ours]) != 1 {
				t.Errorf("%s: %s is %q, want the hub's own", prefix, ours, got[ours])
			}
			got.Del(ours)
		}
		all[prefix] = got
	}
	return all
}

// TestRequestTrailer sends claims in the trailer of a request.
func TestRequestTrailer(t *testing.T) {
	p := newProxy(t, Config{})
	var got http.Header
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := make([]byte, 8)
		for {
			if _, err := r.Body.Read(body); err != nil {
				break
			}
		}
		got = r.Trailer
	})))
	answer := raw(t, front(t, passing(p)).Listener.Addr().String(), "/user/alice/", "Trailer: Remote-User",
		"Transfer-Encoding: chunked", "", "3", "abc", "0", "Remote-User: dora", "")
	if len(got) != 0 || answer[:12] != "HTTP/1.1 200" {
		t.Errorf("the trailer %v arrived; answer %q", got, answer)
	}
}
