// Package printable is the one rule for text that another program or person wrote and that goes to a terminal, a page,
// the journal or D-Bus: no control sequences or control characters, no characters that change the direction of writing
// or break a line, valid UTF-8 only, and at most so many characters. It must never decide whether a text is true, and
// it does not escape: HTML and quoted strings need their own escaping after it.
package printable

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapes are control sequences of terminals (ECMA-48), such as those for colours. They go as a whole, since what
// follows the escape character is not text.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// forbidden reports the characters that a reader cannot see and that change how the rest is shown: with them one line
// can pass for another, or for two.
func forbidden(c rune) bool {
	return unicode.IsControl(c) || unicode.In(c, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// Valid reports whether s is one line that can be shown as it is. Tabs and line breaks are refused too. Use it to
// refuse what people type; use Line or Text for what cannot be refused.
func Valid(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, forbidden) }

// Text returns s without what must not be shown. Tabs, line breaks and other white space stay; bytes that are not UTF-8
// become U+FFFD.
func Text(s string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && forbidden(c) {
			return -1
		}
		return c
	}, escapes.ReplaceAllString(s, ""))
}

// Line returns s as Text does, on one line of at most `most` characters: each run of white space becomes one blank, and
// a longer text ends in "…".
func Line(s string, most int) string {
	// A bound before the work, far above what is left of it: a character has at most four bytes.
	if bound := 16 * most; len(s) > bound {
		s = strings.TrimRightFunc(s[:bound], func(c rune) bool { return c == utf8.RuneError })
	}
	return Cut(strings.Join(strings.Fields(Text(s)), " "), most)
}

// Cut returns at most the first `most` characters of s. The last of them is "…" if anything was cut.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n, last := 0, 0 // characters so far, and where the last one that may stay begins
	for i := range s {
		if n++; n == most {
			last = i
		}
		if n > most {
			return s[:last] + "…"
		}
	}
	return s
}
