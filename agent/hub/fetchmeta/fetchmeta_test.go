package fetchmeta

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func request(method string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/lab/hub/home", nil)
	r.Host = "hub.example.org"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestKind(t *testing.T) {
	const html, hub = "text/html,*/*;q=0.8", "https://hub.example.org/lab/hub/token"
	for name, tt := range map[string]struct {
		headers []string
		want    Kind
	}{
		"page": {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, Document},
		"page of a link": {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site",
			"cross-site"}, Document},
		"frame":  {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, Other},
		"embed":  {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "embed"}, Other},
		"object": {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "object"}, Other},
		"fetch": {[]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", html, "Referer",
			hub}, Other},
		"no-cors":          {[]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "document"}, Other},
		"image":            {[]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, Other},
		"only a site":      {[]string{"Sec-Fetch-Site", "same-origin"}, Other},
		"only a mode":      {[]string{"Sec-Fetch-Mode", "navigate"}, Other},
		"WebSocket":        {[]string{"Upgrade", "websocket"}, Other},
		"says nothing":     {[]string{"Accept", html}, Unknown},
		"a hub's referrer": {[]string{"Accept", html, "Referer", hub}, Unknown},
	} {
		if got := (Rules{Base: "/lab/", Secure: true}).Kind(request(http.MethodGet, tt.headers...)); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestKindWithoutTLS checks what a hub knows that browsers reach by http, where they send no Sec-Fetch headers.
func TestKindWithoutTLS(t *testing.T) {
	const html = "text/html,*/*;q=0.8"
	for name, tt := range map[string]struct {
		method, accept, referer string
		want                    Kind
	}{
		"typed":                     {"GET", html, "", Document},
		"link of the hub":           {"GET", html, "http://hub.example.org/lab/hub/token", Document},
		"link of the hub with port": {"GET", html, "http://HUB.example.org:80/lab/hub/token", Document},
		"link of another site":      {"GET", html, "https://wiki.example.org/", Document},
		"link of a server":          {"GET", html, "http://hub.example.org/lab/user/mallory/x.html", Unknown},
		"link of a service":         {"GET", html, "http://hub.example.org/lab/services/x/", Unknown},
		"link of another hub":       {"GET", html, "http://hub.example.org/hub/home", Unknown},
		"no page wanted":            {"GET", "*/*", "", Unknown},
		"no referrer that is one":   {"GET", html, "http://%zz", Unknown},
		"form of the hub":           {"POST", html, "http://hub.example.org/lab/hub/token", Document},
		"form of a server":          {"POST", html, "http://hub.example.org/lab/user/mallory/x.html", Unknown},
		"form of another site":      {"POST", html, "http://wiki.example.org/lab/hub/token", Unknown},
		"form of nobody":            {"POST", html, "", Unknown},
	} {
		r := request(tt.method, "Accept", tt.accept)
		if tt.referer != "" {
			r.Header.Set("Referer", tt.referer)
		}
		if got := (Rules{Base: "/lab/"}).Kind(r); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOwn(t *testing.T) {
	for name, tt := range map[string]struct {
		host, origin, site string
		want               bool
	}{
		"a program":                 {"hub.example.org", "", "", true},
		"typed":                     {"hub.example.org", "", "none", true},
		"own":                       {"hub.example.org", "https://hub.example.org", "same-origin", true},
		"own without metadata":      {"hub.example.org", "https://hub.example.org", "", true},
		"own in capitals":           {"HUB.example.org", "https://hub.example.org", "", true},
		"own with its port":         {"hub.example.org:443", "https://hub.example.org", "", true},
		"own at another port":       {"hub.example.org:8443", "https://hub.example.org:8443", "", true},
		"own address":               {"[2001:db8::1]", "https://[2001:db8::1]", "", true},
		"another scheme":            {"hub.example.org", "http://hub.example.org", "same-origin", false},
		"another port":              {"hub.example.org", "https://hub.example.org:8443", "", false},
		"the port of the other":     {"hub.example.org:80", "https://hub.example.org", "", false},
		"another host":              {"hub.example.org", "https://evil.example.org", "", false},
		"another host, same origin": {"hub.example.org", "https://evil.example.org", "same-origin", false},
		"hidden":                    {"hub.example.org", "null", "same-origin", false},
		"no URL":                    {"hub.example.org", "https://%zz", "", false},
		"same site":                 {"hub.example.org", "", "same-site", false},
		"cross site":                {"hub.example.org", "https://hub.example.org", "cross-site", false},
	} {
		r := request(http.MethodPost)
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		if got := (Rules{Base: "/", Secure: true}).Own(r); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
		r.Host = "inner"
		public := "https://" + tt.host + "/"
		if got := (Rules{Base: "/", Secure: true, Public: public}).Own(r); got != tt.want {
			t.Errorf("%s, behind a proxy: %v", name, got)
		}
	}
}

// TestNavigates has requests that a person's going to a page makes, and others.
func TestNavigates(t *testing.T) {
	for name, tt := range map[string]struct {
		method string
		header []string
		want   bool
	}{
		"a window":              {"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, true},
		"a frame":               {"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, true},
		"its headers":           {"HEAD", []string{"Sec-Fetch-Mode", "navigate"}, true},
		"a form":                {"POST", []string{"Sec-Fetch-Mode", "navigate"}, false},
		"a script":              {"GET", []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, false},
		"an older browser":      {"GET", []string{"Accept", "text/html,*/*"}, true},
		"its script":            {"GET", []string{"Accept", "text/html", "X-Requested-With", "XMLHttpRequest"}, false},
		"its WebSocket":         {"GET", []string{"Accept", "text/html", "Upgrade", "websocket"}, false},
		"a program":             {"GET", []string{"Accept", "application/json"}, false},
		"one that says nothing": {"GET", nil, false},
	} {
		r := httptest.NewRequest(tt.method, "/", nil)
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Set(tt.header[i], tt.header[i+1])
		}
		if got := Navigates(r); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
