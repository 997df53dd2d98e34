package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/accounting"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// everyMonth is the value of ?month= for all of them.
const everyMonth = "all"

// accountingBody is the page of what users used.
type accountingBody struct {
	Months []monthChoice
	Month  string // as in the URL
	Rows   []hoursRow
	Total  hoursRow
	GPUs   bool   // somebody held one in the months that are shown
	CSV    string // URL path of the same numbers; "" where there are none
}

// monthChoice is a month in the form.
type monthChoice struct {
	Value, Label string
	Chosen       bool
}

// hoursRow is a row of the table.
type hoursRow struct{ User, Month, GPU, CPU, Memory, Server string }

// accountingPage is hub/admin/usage. It is for administrators only, since it shows how much everybody works.
func (s *Web) accountingPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Admin() {
		return errNotFound()
	}
	months, err := s.cfg.Records.AccountingMonths(r.Context())
	if err != nil {
		return err
	}
	month := s.month(r, months)
	hours, err := s.hours(r, month)
	if err != nil {
		return err
	}
	body := accountingBody{Month: month, Months: monthChoices(months, month)}
	for _, h := range hours {
		body.Rows = append(body.Rows, newHoursRow(h))
	}
	sum := accounting.Total(hours)
	body.Total, body.GPUs = newHoursRow(sum), sum.GPU > 0
	if len(hours) > 0 {
		body.CSV = s.hub + "admin/usage.csv?" + url.Values{"month": {month}}.Encode()
	}
	s.render(w, r, http.StatusOK, page{Name: "usage", Title: "Usage", Member: m, Wide: true, Body: body})
	return nil
}

// accountingCSV is hub/admin/usage.csv.
func (s *Web) accountingCSV(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Admin() {
		return errNotFound()
	}
	month := s.month(r, nil)
	hours, err := s.hours(r, month)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="usage-`+month+`.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	_ = accounting.WriteCSV(w, hours) // an error means that the client is gone
	return nil
}

// month returns the month of the request; without one the present month, or where nothing was used in that the last one
// in which something was.
func (s *Web) month(r *http.Request, known []string) string {
	if m := r.URL.Query().Get("month"); m != "" {
		return m
	}
	now := s.cfg.Now().UTC().Format(accounting.MonthForm)
	if len(known) > 0 && !slices.Contains(known, now) {
		return known[0]
	}
	return now
}

func (s *Web) hours(r *http.Request, month string) ([]accounting.Hours, error) {
	q := store.AccountingQuery{Month: month}
	if month == everyMonth {
		q.Month = ""
	} else if _, err := time.Parse(accounting.MonthForm, month); err != nil {
		return nil, httpx.Fail(http.StatusBadRequest, "the month must be one such as 2026-11, or all")
	}
	spent, err := s.cfg.Records.Accounting(r.Context(), q)
	return accounting.InHours(spent), err
}

// monthChoices returns the months in which something was used, and the choice of all of them.
func monthChoices(known []string, chosen string) []monthChoice {
	if chosen != everyMonth && !slices.Contains(known, chosen) {
		known = append([]string{chosen}, known...)
	}
	var all []monthChoice
	for _, m := range known {
		all = append(all, monthChoice{m, monthName(m), m == chosen})
	}
	return append(all, monthChoice{everyMonth, "All months", chosen == everyMonth})
}

// monthName is a month such as "2026-11" for people.
func monthName(month string) string {
	t, err := time.Parse(accounting.MonthForm, month)
	if err != nil {
		return month
	}
	return t.Format("January 2006")
}

func newHoursRow(h accounting.Hours) hoursRow {
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
	return hoursRow{h.User, monthName(h.Month), number(h.GPU), number(h.CPU), number(h.Memory), number(h.Server)}
}
