package xsrf

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTokens(key string) (*Tokens, *clock) {
	c := &clock{time.Unix(1e9, 0)}
	return New([]byte(strings.Repeat(key, 32)), c.now), c
}

func TestValid(t *testing.T) {
	tokens, c := newTokens("k")
	other, _ := newTokens("l")
	good := tokens.Of("s1")
	c.at = c.at.Add(1000 * time.Hour)
	for name, tt := range map[string]struct {
		session, token string
		want           bool
	}{
		"its own":             {"s1", good, true},
		"of another session":  {"s2", good, false},
		"of another hub":      {"s1", other.Of("s1"), false},
		"none":                {"s1", "", false},
		"the session's id":    {"s1", "s1", false},
		"cut":                 {"s1", good[:len(good)-1], false},
		"longer":              {"s1", good + "x", false},
		"without a session":   {"", tokens.Of(""), false},
		"one for a stream":    {"s1", tokens.ForStream("s1", "/hub/api"), false},
		"in the other letter": {"s1", strings.ToLower(good), false},
	} {
		if got := tokens.Valid(tt.session, tt.token); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSent(t *testing.T) {
	tokens, c := newTokens("k")
	const path = "/hub/api/users/al%2Fice/server/progress"
	good, stream := tokens.Of("s1"), tokens.ForStream("s1", path)
	for name, tt := range map[string]struct {
		method, target, header, value string
		later                         time.Duration
		want                          bool
	}{
		"header": {method: "POST", target: "/hub/api/users", header: "X-XSRFToken", value: good,
			want: true},
		"the other header": {method: "GET", target: "/hub/api/users", header: "X-CSRFToken", value: good,
			want: true},
		"query": {method: "DELETE", target: "/hub/api/users?_xsrf=" + good, want: true},
		"none":  {method: "GET", target: "/hub/api/users"},
		"wrong": {method: "GET", target: "/hub/api/users", header: "X-XSRFToken", value: "x"},
		"cookie": {method: "GET", target: "/hub/api/users", header: "Cookie",
			value: "_xsrf=" + good},
		"stream": {method: "GET", target: path + "?_xsrf=" + stream, want: true},
		"stream in its last second": {method: "GET", target: path + "?_xsrf=" + stream,
			later: streamLife - time.Second, want: true},
		"stream too late":        {method: "GET", target: path + "?_xsrf=" + stream, later: streamLife},
		"stream at another path": {method: "GET", target: "/hub/api/users?_xsrf=" + stream},
		"stream at a path like it": {method: "GET", target: "/hub/api/users/al/ice/server/progress?_xsrf=" +
			stream},
		"stream by another method":     {method: "POST", target: path + "?_xsrf=" + stream},
		"stream in a header":           {method: "GET", target: path, header: "X-XSRFToken", value: stream},
		"stream of another session":    {method: "GET", target: path + "?_xsrf=" + tokens.ForStream("s2", path)},
		"stream with a later end":      {method: "GET", target: path + "?_xsrf=9" + stream},
		"stream without a signature":   {method: "GET", target: path + "?_xsrf=9999999999."},
		"stream that is the session's": {method: "GET", target: path + "?_xsrf=9999999999." + good},
	} {
		c.at = time.Unix(1e9, 0).Add(tt.later)
		r := httptest.NewRequest(tt.method, tt.target, nil)
		if tt.header != "" {
			r.Header.Set(tt.header, tt.value)
		}
		for range 2 { // a browser that lost its connection comes with the same URL
			if got := tokens.Sent("s1", r); got != tt.want {
				t.Errorf("%s: %v", name, got)
			}
		}
		if tokens.Sent("", r) {
			t.Errorf("%s: without a session", name)
		}
	}
}

// FuzzSent checks that nothing but the tokens themselves passes.
func FuzzSent(f *testing.F) {
	tokens, _ := newTokens("k")
	f.Add("1000000001.x", "/hub/api")
	f.Add(tokens.Of("s2"), "/")
	f.Fuzz(func(t *testing.T, token, path string) {
		r := &http.Request{Method: http.MethodGet, Header: http.Header{Header: {token}},
			URL: httptest.NewRequest(http.MethodGet, "/", nil).URL}
		r.URL.Path, r.URL.RawQuery = path, "_xsrf="+token
		if tokens.Sent("s1", r) && token != tokens.Of("s1") {
			t.Errorf("%q at %q", token, path)
		}
	})
}
