package web

import (
	"net/url"
	"strconv"
	"strings"
)

// usersAPage is how many users a page shows.
const usersAPage = 50

// adminQuery selects the users that are shown.
type adminQuery struct {
	Search string
	Sort   string // as store.UserQuery has it
	Active bool   // only those with an active server
	Page   int    // from 0
}

// sortChoice is an order in which users are shown.
type sortChoice struct {
	Value, Label string
	Chosen       bool
}

// sorts are the orders, the default one first.
var sorts = [...]struct{ value, label string }{{"name", "Name"}, {"-last_activity", "Last active first"},
	{"last_activity", "Longest not active first"}, {"-id", "Newest first"}}

// sortChoices returns the orders for a form.
func sortChoices(chosen string) []sortChoice {
	var all []sortChoice
	for _, o := range sorts {
		all = append(all, sortChoice{o.value, o.label, o.value == chosen})
	}
	return all
}

// maxPage bounds offsets, which the database must be able to count.
const maxPage = 1 << 20

// readQuery reads the query of the page's URL; what it cannot read it leaves out.
func readQuery(args url.Values) adminQuery {
	q := adminQuery{Search: args.Get("q"), Sort: sorts[0].value, Active: args.Get("state") == "active"}
	for _, o := range sorts {
		if args.Get("sort") == o.value {
			q.Sort = o.value
		}
	}
	if n, err := strconv.Atoi(args.Get("page")); err == nil && n > 0 && n < maxPage {
		q.Page = n
	}
	return q
}

// at returns the same query for another page.
func (q adminQuery) at(page int) adminQuery { q.Page = page; return q }

// adminURL is the URL path of the page that shows what q selects.
func (s *Web) adminURL(q adminQuery) string {
	args := url.Values{}
	if q.Search != "" {
		args.Set("q", q.Search)
	}
	if q.Sort != sorts[0].value {
		args.Set("sort", q.Sort)
	}
	if q.Active {
		args.Set("state", "active")
	}
	if q.Page > 0 {
		args.Set("page", strconv.Itoa(q.Page))
	}
	if len(args) == 0 {
		return s.hub + "admin"
	}
	return s.hub + "admin?" + args.Encode()
}

// listed splits the text of a field for several names.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(",; \t\n\r", c) })
}
