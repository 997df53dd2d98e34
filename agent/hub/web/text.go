package web

import (
	"fmt"
	"html/template"
	"net/mail"
	"net/url"
)

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
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
