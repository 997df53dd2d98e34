package hub

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// named answers with its name.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

func TestMount(t *testing.T) {
	answered := func(h http.Handler, path string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code == http.StatusNotFound {
			return "404"
		}
		return w.Body.String()
	}
	for _, base := range []string{"/", "/x/"} {
		m := routing{base: base, pages: named("pages"), api: named("api"), metrics: named("metrics"),
			servers: named("servers"), services: named("services")}
		for path, want := range map[string]struct{ public, private string }{
			"":                             {"pages", "404"},
			"hub/home":                     {"pages", "404"},
			"hub/api":                      {"api", "api"},
			"hub/api/users":                {"api", "api"},
			"hub/apis":                     {"pages", "404"},
			"hub/metrics":                  {"metrics", "404"},
			"hub/metrics/":                 {"pages", "404"},
			"hub/api/metrics":              {"metrics", "metrics"},
			"hub/api/metrics/x":            {"api", "api"},
			"user/alice/":                  {"servers", "404"},
			"user/alice/../../hub/api":     {"servers", "404"},
			"user":                         {"pages", "404"},
			"services/board/":              {"services", "404"},
			"services":                     {"pages", "404"},
			"hub%2Fapi":                    {"pages", "404"},
			"hub/../user/alice/":           {"pages", "404"},
			"hub/api/../../user/alice/lab": {"api", "api"},
		} {
			if got := answered(m.public(), base+path); got != want.public {
				t.Errorf("%s%s, public: %q, want %q", base, path, got, want.public)
			}
			if got := answered(m.private(), base+path); got != want.private {
				t.Errorf("%s%s, private: %q, want %q", base, path, got, want.private)
			}
		}
	}
	elsewhere := routing{base: "/x/", pages: named("pages"), servers: named("servers"), api: named("api")}
	for _, path := range []string{"/user/alice/", "/hub/api/users", "/"} {
		if got := answered(elsewhere.public(), path); got != "pages" {
			t.Errorf("%s, outside the base URL: %q", path, got)
		}
		if got := answered(elsewhere.private(), path); got != "404" {
			t.Errorf("%s, outside the base URL, private: %q", path, got)
		}
	}
}
