package metrics

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
)

// names returns every name under which Prometheus stores what the registry emits.
func names(t *testing.T) map[string]bool {
	t.Helper()
	m := newTest(t, host(t))
	everything(m)
	all := map[string]bool{"up": true} // Prometheus's own
	for name, family := range gather(t, m) {
		all[name] = true
		if family.GetType() == dto.MetricType_HISTOGRAM {
			delete(all, name)
			all[name+"_bucket"], all[name+"_sum"], all[name+"_count"] = true, true, true
		}
	}
	return all
}

// What an expression of PromQL holds besides names of metrics.
var (
	notNames = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|` +
		`\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	word     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	operator = map[string]bool{"and": true, "or": true, "unless": true, "offset": true, "bool": true}
)

// metricsOf returns the names of the metrics in an expression.
func metricsOf(expr string) []string {
	var found []string
	for _, w := range word.FindAllString(notNames.ReplaceAllString(expr, " "), -1) {
		if name := strings.TrimSpace(w); !strings.HasSuffix(name, "(") && !operator[name] {
			found = append(found, name)
		}
	}
	return found
}

func TestMetricsOf(t *testing.T) {
	for expr, want := range map[string][]string{
		`sum by (state) (gifford_servers{job=~"a{b"})`:                                       {"gifford_servers"},
		`histogram_quantile(0.5, sum by (le) (rate(a_bucket{x="y"}[$__rate_interval]))) > 0`: {"a_bucket"},
		`min(a) - time()`: {"a"},
		`a / on (job) b`:  {"a", "b"},
	} {
		if diff := cmp.Diff(want, metricsOf(expr)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expr, diff)
		}
	}
}

// dashboard is what the test reads of Grafana's JSON.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Panels        []struct {
		ID          int
		Title, Type string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../../../packaging/examples/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard holds each expression against what the registry emits.
func TestDashboard(t *testing.T) {
	d, known := readDashboard(t), names(t)
	if d.SchemaVersion < 38 || d.UID == "" || len(d.Panels) < 10 { // 38 is Grafana 10.0's
		t.Errorf("the dashboard has schema %d, uid %q and %d panels", d.SchemaVersion, d.UID, len(d.Panels))
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 ||
			p.GridPos.H == 0 {
			t.Errorf("panel %d %q cannot be shown", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			used := metricsOf(target.Expr)
			if len(used) == 0 {
				t.Errorf("panel %q asks for no metric: %s", p.Title, target.Expr)
			}
			for _, name := range used {
				if !known[name] {
					t.Errorf("panel %q asks for %s, which the hub does not emit", p.Title, name)
				}
			}
		}
	}
}

// TestDocumented compares the tables of docs/metrics.md with what the registry emits.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{} // name -> type
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\|")
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		documented[match[1]] = match[2]
	}
	m := newTest(t, host(t))
	everything(m)
	emitted := map[string]string{}
	for name, family := range gather(t, m) {
		if strings.HasPrefix(name, "gifford_") || strings.HasPrefix(name, "jupyterhub_") {
			emitted[name] = strings.ToLower(family.GetType().String())
		}
	}
	if diff := cmp.Diff(emitted, documented); diff != "" {
		t.Errorf("docs/metrics.md differs (-emitted +documented):\n%s", diff)
	}
}

// TestAlerts holds the alerts of the documentation against what the registry emits.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, alerts, found := strings.Cut(string(text), "## Alerts")
	known, used := names(t), map[string]bool{}
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(alerts, -1) {
		for _, name := range metricsOf(match[1]) {
			used[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !known[name] {
			t.Errorf("an alert asks for %s, which the hub does not emit", name)
		}
	}
	if !found || len(used) < 5 {
		t.Errorf("only %d metrics are in alerts", len(used))
	}
}
