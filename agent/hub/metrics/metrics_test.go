package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// host is the sources of a hub with two ready servers and one that failed.
func host(t *testing.T) Sources {
	t.Helper()
	database := filepath.Join(t.TempDir(), "hub.sqlite")
	if err := os.WriteFile(database, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return Sources{
		Database: database,
		Servers: func() []servers.Server {
			return []servers.Server{{State: servers.Ready}, {State: servers.Ready}, {State: servers.Failed}}
		},
		Users:      func(context.Context) (Users, error) { return Users{Total: 9, Day: 2, Week: 5, Month: 7}, nil },
		WebSockets: func() int { return 4 }, Requests: func() int { return 1 }, Draining: func() int { return 1 },
		Disks:             func() []disk.Place { return []disk.Place{{Path: "/cluster", Free: 5, Total: 100}} },
		CertificateExpiry: func() time.Time { return time.Unix(1_800_000_000, 0) },
		GPUs:              func(context.Context) (backend.GPUs, error) { return twoGPUs, nil },
	}
}

// sourced is metrics with their sources.
type sourced struct {
	*Metrics
	from Sources
}

func newTest(t *testing.T, from Sources) sourced {
	t.Helper()
	m, err := New(Config{Version: "1.2.3", JupyterHubVersion: "5.5.1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return sourced{m, from}
}

// everything lets each event happen once, so that every metric has a series.
func everything(m sourced) {
	m.ServerStarted(SpawnSuccess, 7*time.Second)
	m.ServerStopped(StopSuccess, time.Second)
	m.Polled(true, time.Millisecond)
	m.HubStarted(time.Second)
	m.ServersFound(time.Second)
	m.Login(LoginSuccess, time.Second)
	m.Backend("start", nil, time.Second)
	m.Culled("idle")
	m.ReloadFailed()
	m.Middleware(func(*http.Request) string { return "GET /hub/home" })(http.NotFoundHandler()).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/hub/home", nil))
	m.Proxy(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/user/a/", nil))
}

// gather returns the families by name.
func gather(t *testing.T, m sourced) map[string]*dto.MetricFamily {
	t.Helper()
	gatherers, err := m.gatherers(m.from)
	if err != nil {
		t.Fatal(err)
	}
	all, err := gatherers.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range all {
		byName[f.GetName()] = f
	}
	return byName
}

// scraped returns the lines that Handler answers.
func scraped(t *testing.T, m sourced) string {
	t.Helper()
	handler, err := m.Handler(m.from)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/hub/metrics", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("a scrape is answered %d, %q", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestScrape(t *testing.T) {
	m := newTest(t, host(t))
	everything(m)
	text := scraped(t, m)
	for _, want := range []string{
		"jupyterhub_running_servers 2", "jupyterhub_total_users 9", `jupyterhub_active_users{period="24h"} 2`,
		`jupyterhub_active_users{period="7d"} 5`, `jupyterhub_active_users{period="30d"} 7`,
		`jupyterhub_server_spawn_duration_seconds_bucket{status="success",le="5"} 0`,
		`jupyterhub_server_spawn_duration_seconds_bucket{status="success",le="10"} 1`,
		`jupyterhub_server_spawn_duration_seconds_bucket{status="success",le="600"} 1`,
		`jupyterhub_server_spawn_duration_seconds_count{status="too-many-users"} 0`,
		`jupyterhub_server_stop_seconds_count{status="failure"} 0`,
		`jupyterhub_server_stop_seconds_sum{status="success"} 1`,
		`jupyterhub_server_poll_duration_seconds_count{status="running"} 1`,
		"jupyterhub_hub_startup_duration_seconds_count 1", "jupyterhub_init_spawners_duration_seconds_count 1",
		`jupyterhub_request_duration_seconds_count{code="404",handler="/hub/home",method="GET"} 1`,
		`gifford_servers{state="ready"} 2`, `gifford_servers{state="failed"} 1`, `gifford_servers{state="starting"} 0`,
		"gifford_proxy_websockets 4", "gifford_proxy_requests_in_flight 1", "gifford_draining_processes 1",
		`gifford_database_size_bytes{file="database"} 4096`, `gifford_database_size_bytes{file="wal"} 0`,
		"gifford_certificate_expiry_timestamp_seconds 1.8e+09", `gifford_culled_servers_total{reason="idle"} 1`,
		`gifford_login_duration_seconds_count{result="success"} 1`,
		`gifford_login_duration_seconds_count{result="denied"} 0`,
		"gifford_reload_failures_total 1", `jupyterhub_version="5.5.1",version="1.2.3"} 1`,
		"process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("a scrape does not tell %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestScrapeLeavesOutWhatItCannotRead(t *testing.T) {
	cfg := host(t)
	cfg.Users = func(context.Context) (Users, error) { return Users{Total: 3}, errors.New("database is locked") }
	cfg.CertificateExpiry, cfg.Database = nil, filepath.Join(t.TempDir(), "nothing-here")
	families := gather(t, newTest(t, cfg))
	for _, name := range []string{"jupyterhub_total_users", "jupyterhub_active_users",
		"gifford_certificate_expiry_timestamp_seconds"} {
		if families[name] != nil {
			t.Errorf("%s is told though it cannot be known", name)
		}
	}
	if families["jupyterhub_running_servers"] == nil {
		t.Error("what can be read is left out too")
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("metrics without a log are made")
	}
	m := newTest(t, host(t))
	for name, spoil := range map[string]func(*Sources){
		"servers": func(s *Sources) { s.Servers = nil }, "users": func(s *Sources) { s.Users = nil },
		"WebSockets": func(s *Sources) { s.WebSockets = nil }, "requests": func(s *Sources) { s.Requests = nil },
		"draining": func(s *Sources) { s.Draining = nil }, "disks": func(s *Sources) { s.Disks = nil },
		"database": func(s *Sources) { s.Database = "" },
	} {
		from := host(t)
		spoil(&from)
		if _, err := m.Handler(from); err == nil {
			t.Errorf("metrics without %s are served", name)
		}
	}
}

// TestLint checks our names, and what JupyterHub leaves open, against Prometheus's rules. JupyterHub's own names are
// fixed.
func TestLint(t *testing.T) {
	m := newTest(t, host(t))
	everything(m)
	var own []*dto.MetricFamily
	for name, family := range gather(t, m) {
		if strings.HasPrefix(name, "gifford_") {
			own = append(own, family)
		}
	}
	if len(own) < 10 {
		t.Fatalf("only %d metrics of our own", len(own))
	}
	problems, err := promlint.NewWithMetricFamilies(own).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestLauncherResult(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"ok":                 {nil, "ok"},
		"a refusal":          {&backend.Error{Code: backend.Refused}, "refused"},
		"a code of tomorrow": {&backend.Error{Code: "Tomorrow"}, "other"},
		"no bus":             {errors.New("dial unix: connection refused"), "unreachable"},
		"devices taken":      {&backend.Error{Code: backend.DevicesTaken}, "devices-taken"},
		"devices missing":    {&backend.Error{Code: backend.DevicesMissing}, "devices-missing"},
		"cancelled":          {context.Canceled, "cancelled"},
		"timed out":          {context.DeadlineExceeded, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := backendResult(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestChanged runs servers through their lives and checks which starts and stops count.
func TestChanged(t *testing.T) {
	type step struct {
		to    servers.State
		after int // seconds since the step before
	}
	for name, test := range map[string]struct {
		steps               []step
		spawned, failed     uint64
		stopped             uint64
		spawnTook, stopTook float64
	}{
		"started and stopped": {[]step{{servers.Starting, 0}, {servers.Waiting, 3}, {servers.Ready, 2},
			{servers.Stopping, 60}, {servers.Stopped, 4}}, 1, 0, 1, 5, 4},
		"the start fails": {[]step{{servers.Starting, 0}, {servers.Failed, 2}}, 0, 1, 0, 0, 0},
		"never answers": {[]step{{servers.Starting, 0}, {servers.Waiting, 1}, {servers.Failed, 60}}, 0, 1, 0, 0,
			0},
		"called off": {[]step{{servers.Starting, 0}, {servers.Stopping, 2}, {servers.Stopped, 1}}, 0, 0, 1, 0,
			1},
		"ran before the hub": {[]step{{servers.Waiting, 0}, {servers.Ready, 1}}, 0, 0, 0, 0, 0},
		"ends while it runs": {[]step{{servers.Starting, 0}, {servers.Waiting, 1}, {servers.Ready, 1},
			{servers.Failed, 100}}, 1, 0, 0, 2, 0},
		"again after failing": {[]step{{servers.Starting, 0}, {servers.Failed, 1}, {servers.Starting, 50},
			{servers.Waiting, 1}, {servers.Ready, 2}}, 1, 1, 0, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTest(t, host(t))
			key, err := ident.ParseKey("alice", "")
			if err != nil {
				t.Fatal(err)
			}
			now, from := time.Unix(1_700_000_000, 0), servers.Stopped
			for _, s := range test.steps {
				now = now.Add(time.Duration(s.after) * time.Second)
				m.Changed(servers.Server{Key: key, State: s.to, Since: now}, from)
				from = s.to
			}
			families := gather(t, m)
			ok, failed := histogram(families["jupyterhub_server_spawn_duration_seconds"], "success"),
				histogram(families["jupyterhub_server_spawn_duration_seconds"], "failure")
			stop := histogram(families["jupyterhub_server_stop_seconds"], "success")
			got := []float64{float64(ok.GetSampleCount()), float64(failed.GetSampleCount()),
				float64(stop.GetSampleCount()), ok.GetSampleSum(), stop.GetSampleSum()}
			want := []float64{float64(test.spawned), float64(test.failed), float64(test.stopped), test.spawnTook,
				test.stopTook}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("starts, failures, stops and seconds (-want +got):\n%s", diff)
			}
			if left := len(m.spans.starting) + len(m.spans.stopping); left != 0 {
				t.Errorf("%d starts or stops are remembered for ever", left)
			}
		})
	}
}

// histogram returns a family's with one label's value.
func histogram(f *dto.MetricFamily, value string) *dto.Histogram {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetValue() == value {
				return m.GetHistogram()
			}
		}
	}
	return nil
}
