package hub

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
)

func TestWhoReadsMetrics(t *testing.T) {
	for name, test := range map[string]struct {
		open                         bool
		surface, method, path, token string
		want                         int
	}{
		"a token with the scope":          {false, "public", "GET", "/x/hub/metrics", "token-of-dora", 200},
		"by the API's path":               {false, "public", "GET", "/x/hub/api/metrics", "token-of-dora", 200},
		"on the notebooks' listener":      {false, "api", "GET", "/x/hub/api/metrics", "token-of-dora", 200},
		"pages are not on that listener":  {false, "api", "GET", "/x/hub/metrics", "token-of-dora", 404},
		"nobody":                          {false, "public", "GET", "/x/hub/metrics", "", 403},
		"nobody, by the API's path":       {false, "api", "GET", "/x/hub/api/metrics", "", 403},
		"a wrong token":                   {false, "public", "GET", "/x/hub/metrics", "token-of-eve", 403},
		"a scope its owner does not have": {false, "public", "GET", "/x/hub/metrics", "token-of-alice", 403},
		"open to all":                     {true, "public", "GET", "/x/hub/metrics", "", 200},
		"open to notebooks":               {true, "api", "GET", "/x/hub/api/metrics", "", 200},
		"only reading":                    {true, "public", "POST", "/x/hub/metrics", "", 405},
		"HEAD reads":                      {true, "public", "HEAD", "/x/hub/metrics", "", 200},
		"below it is nothing":             {true, "public", "GET", "/x/hub/metrics/x", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := ask(t, testHub(t, !test.open), test.surface, test.method, test.path, test.token)
			if status != test.want {
				t.Errorf("answered %d, want %d:\n%.300s", status, test.want, body)
			}
			if tells := strings.Contains(body, "jupyterhub_total_users 2"); tells != (test.want == 200) {
				t.Errorf("the answer has metrics: %v\n%.300s", tells, body)
			}
		})
	}
}

// TestMetricsOfRequests sends requests through the whole hub and looks at the labels.
func TestMetricsOfRequests(t *testing.T) {
	h := testHub(t, false)
	for _, path := range []string{"/x/hub/api/users/alice", "/x/hub/health", "/x/user/alice/tree", "/x/hub/metrics",
		"/x/hub/no-such-page"} {
		ask(t, h, "public", "GET", path, "token-of-alice")
	}
	_, text := ask(t, h, "public", "GET", "/x/hub/metrics", "")
	for _, want := range []string{
		`jupyterhub_request_duration_seconds_count{code="200",handler="/x/hub/api/users/{user}",method="GET"} 1`,
		`jupyterhub_request_duration_seconds_count{code="200",handler="/x/hub/health",method="GET"} 1`,
		`jupyterhub_request_duration_seconds_count{code="200",handler="/x/hub/metrics",method="GET"} 1`,
		`jupyterhub_request_duration_seconds_count{code="404",handler="/x/hub/",method="GET"} 1`,
		`gifford_proxy_requests_total{kind="http",status="3xx"} 1`,
		`jupyterhub_active_users{period="24h"} 0`, `jupyterhub_active_users{period="7d"} 2`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "alice") || strings.Contains(text, "no-such-page") {
		t.Error("a name or a path is in a label")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestLoginResult(t *testing.T) {
	for result, err := range map[string]error{
		"success": nil,
		"denied":  &login.Denied{Reason: login.Blocked},
		"refused": httpx.Fail(http.StatusBadRequest, "stale"),
		"failed":  httpx.Fail(http.StatusBadGateway, "the provider is down"),
	} {
		if got := loginResult(err); string(got) != result {
			t.Errorf("%v counts as %s, want %s", err, got, result)
		}
	}
}
