package web

import (
	"testing"
	"time"
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
