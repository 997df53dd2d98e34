package web

import (
	"fmt"
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// age rounds a time that has passed, for people.
func age(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}}
	for _, u := range units {
		switch n := int(d / u.size); {
		case n == 1:
			return "1 " + u.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "less than a minute"
}

// span writes a time that has passed to the minute, unless it is of days.
func span(d time.Duration) string {
	d = d.Truncate(time.Minute)
	if hours := d.Truncate(time.Hour); hours > 0 && hours < d && d < 24*time.Hour {
		return age(hours) + " " + age(d-hours)
	}
	return age(d)
}

// clock writes a time to come for people: the hour alone on the same day, in the zone of
// the host, which is where its people are.
func clock(at, now time.Time) string {
	at, now = at.Local(), now.Local()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04")
	}
	return at.Format("15:04 on 2 January")
}

// about writes a guess, no more exact than it can be.
func about(d time.Duration) string {
	switch {
	case d < 10*time.Minute:
		return "ten minutes or less"
	case d < 55*time.Minute:
		return fmt.Sprintf("about %d minutes", int(d.Round(10*time.Minute)/time.Minute))
	case d < 90*time.Minute:
		return "about an hour"
	case d < 48*time.Hour:
		return fmt.Sprintf("about %d hours", int(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("about %d days", int(d.Round(24*time.Hour)/(24*time.Hour)))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// size is disk.Size in one piece, which a narrow column must not break.
func size(bytes int64) string { return strings.ReplaceAll(disk.Size(bytes), " ", "\u00a0") }

// maxText bounds what people write for people (JupyterHub's columns hold as much).
const maxText = 255

// checkText refuses what cannot be shown on one line.
func checkText(what, text string) error {
	switch {
	case len(text) > maxText:
		return httpx.Fail(http.StatusBadRequest, "%s is longer than %d bytes", what, maxText)
	case !utf8.ValidString(text), strings.ContainsFunc(text,
		func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }):
		return httpx.Fail(http.StatusBadRequest, "%s holds a character that cannot be shown", what)
	}
	return nil
}

// escapes are the terminal's control sequences (ECMA-48), which programs print in
// colour and which mean nothing on a page.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// cleanLine takes control characters out of a journal line, and those that turn the
// direction of writing, with which a line could pose as another.
func cleanLine(line string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) {
			return -1
		}
		return c
	}, escapes.ReplaceAllString(line, ""))
}

// contactLink makes a link of an address, and leaves other words as they are.
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
	text := template.HTMLEscapeString(contact)
	if target == "" {
		return template.HTML(text)
	}
	//nolint:gosec // both parts are escaped
	return template.HTML(`<a href="` + template.HTMLEscapeString(target) + `">` + text + `</a>`)
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// listed splits what people write into a field for several names.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool {
		return c == ',' || c == ';' || c == ' ' || c == '\t' ||
			c == '\n' || c == '\r'
	})
}

func names(users []ident.User) string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = u.String()
	}
	return strings.Join(all, " ")
}
