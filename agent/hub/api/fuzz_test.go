package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest sends whole requests of an administrator: any path, query and body must get
// an answer that is the caller's fault or a success, with a JSON body where it is an error.
func FuzzRequest(f *testing.F) {
	for _, rt := range routes() {
		path := strings.NewReplacer("{user}", "alice", "{server...}", "x", "{group}", "lab", "{service}", "limited",
			"{id}", "a1", "{owner}", "bob", "{token}", "x", "{$}", "").Replace(rt.path)
		f.Add(rt.method, path, "state=ready&sort=-name&limit=3&offset=1&name_filter=a&include_stopped_servers",
			`{"users":["bob"],"scopes":["self"],"expires_in":60}`)
	}
	f.Add("POST", "/users/..%2Fbob/tokens", "limit=-1&sort=%00",
		`{"auth":{"username":"alice","password":"x"},"roles":null}`)
	f.Add("POST", "/users/alice/activity", "",
		`{"servers":{"":{"last_activity":"9999-12-31T23:59:59Z"}},"last_activity":"0001-01-01T00:00:00Z"}`)
	f.Add("PATCH", "/users/alice/servers/x", "",
		`{"name":"../..","display_name":"\u0000","user_options":{"profile":7}}`)
	a, _, _ := build(f)
	handler := a.Handler()
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/progress") || strings.HasPrefix(path, "/oauth2") {
			return // a stream has no end here, and the OAuth provider has its own tests
		}
		u, err := url.Parse("/hub/api" + path)
		if err != nil {
			return
		}
		u.RawQuery = query
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL, r.RequestURI = method, u, u.RequestURI()
		r.Header.Set("Authorization", "token service-token-of-all")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%s %q?%q %q: %d %s", method, path, query, body, w.Code, w.Body)
		}
		var e errorBody
		if w.Code >= http.StatusBadRequest && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Status != w.Code) {
			t.Errorf("%s %q: the error is %d %q", method, path, w.Code, w.Body)
		}
	})
}

// FuzzAuthorization checks that no header makes anybody somebody.
func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{"token x", "Bearer  y", "token", "bearer service-token-of-all ", "Basic eDp5",
		"token \x00", "token service-token-of-al", "Token\tserver-token-of-alice"} {
		f.Add(s)
	}
	a, _, _ := build(f)
	handler := a.Handler()
	secrets := []string{"service-token-of-all", "service-token-of-limited", "server-token-of-alice", "oauth-token-of-"}
	f.Fuzz(func(t *testing.T, header string) {
		for _, s := range secrets {
			if strings.Contains(header, s) {
				return
			}
		}
		r := httptest.NewRequest(http.MethodGet, "/hub/api/user", nil)
		r.Header["Authorization"] = []string{header}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
	})
}
