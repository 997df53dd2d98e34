package web

import (
	"fmt"
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// maxText bounds what people write for people (JupyterHub's columns hold as much).
const maxText = 255

// checkText refuses what cannot be shown on one line.
func checkText(what, text string) error {
	switch {
	case len(text) > maxText:
		return httpx.Fail(http.StatusBadRequest, "%s is longer than %d bytes", what, maxText)
	case !printable.Valid(text):
		return httpx.Fail(http.StatusBadRequest, "%s holds a character that cannot be shown", what)
	}
	return nil
}

// contactLink makes a link of an e-mail or web address. Other text stays as it is.
func contactLink(contact string) template.HTML {
	if contact == "" {
		return "the administrators of this hub"
	}
	target := ""
	if a, err := mail.ParseAddress(contact); err == nil && a.Address == contact {
		target = "mailto:" + contact
	} else if u, err := url.Parse(contact); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		target = contact
	}
	text := template.HTMLEscapeString(contact) // all that goes into template.HTML is escaped
	if target == "" {
		return template.HTML(text)
	}
	return template.HTML(`<a href="` + template.HTMLEscapeString(target) + `">` + text + `</a>`)
}

// listed splits the text of a field for several names.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool {
		return strings.ContainsRune(",; \t\n\r", c)
	})
}

func names(users []ident.User) string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = u.String()
	}
	return strings.Join(all, " ")
}
