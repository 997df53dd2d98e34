package web

import (
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Hour: "less than a minute",
		59 * time.Second: "less than a minute", time.Minute: "1 minute",
		59 * time.Minute: "59 minutes", 90 * time.Minute: "1 hour", 47 * time.Hour: "1 day", 48 * time.Hour: "2 days"} {
		if got := age(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestContactLink(t *testing.T) {
	for contact, want := range map[string]string{
		"":                         "the administrators of this hub",
		"hub@example.org":          `<a href="mailto:hub@example.org">hub@example.org</a>`,
		"https://example.org/?a&b": `<a href="https://example.org/?a&amp;b">https://example.org/?a&amp;b</a>`,
		"Dora <room 3>":            "Dora &lt;room 3&gt;",
		"javascript:alert(1)":      "javascript:alert(1)",
		`https://x"onclick=y`:      `<a href="https://x&#34;onclick=y">https://x&#34;onclick=y</a>`,
	} {
		if got := string(contactLink(contact)); got != want {
			t.Errorf("%q: %q, want %q", contact, got, want)
		}
	}
}

func FuzzCleanLine(f *testing.F) {
	f.Add(hostile)
	f.Add("\x1b]8;;http://x\x07link\x1b]8;;\x07 \x9b31m\r\n")
	f.Fuzz(func(t *testing.T, line string) {
		got := cleanLine(line)
		if i := strings.IndexFunc(got, func(c rune) bool {
			return unicode.IsControl(c) && c != '\t' && c != '\n' || unicode.Is(unicode.Bidi_Control, c)
		}); i >= 0 {
			t.Errorf("%q leaves %q", line, got)
		}
	})
}

func TestCleanLine(t *testing.T) {
	for line, want := range map[string]string{
		"plain":                          "plain",
		"\x1b[1;32mgreen\x1b[0m":         "green",
		"\x1b]0;title\x07text":           "text",
		"50%\r100%":                      "50%100%",
		"a\tb":                           "a\tb",
		"grüße":                          "grüße",
		"\x1b]8;;http://x\x1b\\link\x1b": "link",
	} {
		if got := cleanLine(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
