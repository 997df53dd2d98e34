package web

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// spend lets alice and bob have used something in two months, and alice a GPU in the first.
func spend(ctx context.Context, db *store.Store) error {
	alice, bob := key("alice"), key("bob")
	for _, v := range []store.Spent{
		{User: alice.User, Month: "2026-02", GPU: 5400, CPU: 36000, Memory: 7200 << 30, Server: 72000},
		{User: bob.User, Month: "2026-02", CPU: 1800, Memory: 3600 << 29, Server: 4500000},
		{User: bob.User, Month: "2026-01", CPU: 3600, Server: 7200},
	} {
		k := alice
		if v.User == bob.User {
			k = bob
		}
		err := db.Account(ctx, k, func(store.Reading, bool) (*store.Reading, []store.Spent) {
			return &store.Reading{Key: k, Started: now, At: now}, []store.Spent{v}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func TestUsagePage(t *testing.T) {
	tests := map[string]struct {
		query  string
		rows   []string
		months []string // as the form has them, the chosen one marked
		csv    string
	}{
		"the last with something": {"", []string{"User GPU hours CPU hours Memory GiB hours Server hours",
			"alice 1.5 10.0 2.0 20.0", "bob 0.0 0.5 0.5 1250.0", "Total 1.5 10.5 2.5 1270.0"},
			[]string{"February 2026*", "January 2026", "All months"}, "/hub/admin/usage.csv?month=2026-02"},
		"without GPUs": {"?month=2026-01", []string{"User CPU hours Memory GiB hours Server hours", "bob 1.0 0.0 2.0",
			"Total 1.0 0.0 2.0"},
			[]string{"February 2026", "January 2026*", "All months"}, "/hub/admin/usage.csv?month=2026-01"},
		"all": {"?month=all", []string{"User Month GPU hours CPU hours Memory GiB hours Server hours",
			"alice February 2026 1.5 10.0 2.0 20.0", "bob February 2026 0.0 0.5 0.5 1250.0",
			"bob January 2026 0.0 1.0 0.0 2.0", "Total 1.5 11.5 2.5 1272.0"},
			[]string{"February 2026", "January 2026", "All months*"}, "/hub/admin/usage.csv?month=all"},
		"none": {"?month=1999-01", nil, []string{"January 1999*", "February 2026", "January 2026", "All months"}, ""},
	}
	h := newHub(t, nil)
	if err := spend(t.Context(), h.db); err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := show(t, h.do("GET", "/hub/admin/usage"+tt.query, "dora"))
			var rows, months []string
			for _, tr := range p.elements("tr") {
				rows = append(rows, cells(tr))
			}
			for _, o := range p.elements("option") {
				mark := ""
				if slices.ContainsFunc(o.Attr, func(a html.Attribute) bool { return a.Key == "selected" }) {
					mark = "*"
				}
				months = append(months, textOf(o)+mark)
			}
			csv := ""
			for _, a := range p.elements("a") {
				if textOf(a) == "Download CSV" {
					csv = attr(a, "href")
				}
			}
			if diff := cmp.Diff(tt.rows, rows); diff != "" {
				t.Errorf("rows: want(-) got(+):\n%s", diff)
			}
			if diff := cmp.Diff(tt.months, months); diff != "" {
				t.Errorf("months: want(-) got(+):\n%s", diff)
			}
			if csv != tt.csv {
				t.Errorf("the download is at %q, want %q", csv, tt.csv)
			}
		})
	}
}

func cells(tr *html.Node) string {
	var all []string
	for c := range tr.ChildNodes() {
		if c.Type == html.ElementNode {
			all = append(all, textOf(c))
		}
	}
	return strings.Join(all, " ")
}

func TestUsageCSV(t *testing.T) {
	h := newHub(t, nil)
	if err := spend(t.Context(), h.db); err != nil {
		t.Fatal(err)
	}
	resp := h.do("GET", "/hub/admin/usage.csv?month=2026-02", "dora")
	want := "month,user,gpu_hours,cpu_hours,memory_gib_hours,server_hours\n" +
		"2026-02,alice,1.500,10.000,2.000,20.000\n2026-02,bob,0.000,0.500,0.500,1250.000\n"
	if diff := cmp.Diff(want, body(t, resp)); diff != "" {
		t.Errorf("want(-) got(+):\n%s", diff)
	}
	if got := resp.Header.Get("Content-Disposition") + " " +
		resp.Header.Get("Content-Type"); got != `attachment; filename="usage-2026-02.csv" text/csv; charset=utf-8` {
		t.Errorf("headers: %s", got)
	}
	for _, target := range []string{"/hub/admin/usage.csv?month=x%22%0d%0a", "/hub/admin/usage?month=2026-13"} {
		if got := answer(h.do("GET", target, "dora")); got != "Bad Request" {
			t.Errorf("%s: %s", target, got)
		}
	}
	if page := body(t, h.do("GET", "/hub/admin", "dora")); !strings.Contains(page, `href="/hub/admin/usage"`) {
		t.Error("the page of users has no link")
	}
}

// TestUsageIsForAdministrators checks that nobody else sees who works how much.
func TestUsageIsForAdministrators(t *testing.T) {
	h := newAdmin(t, twoNamed)
	for _, target := range []string{"/hub/admin/usage", "/hub/admin/usage.csv", "/hub/admin/gpus"} {
		if got := answer(h.do("GET", target, "bob")); got != "Not Found" { // the warden, who sees the administration
			t.Errorf("%s: %s", target, got)
		}
	}
}
