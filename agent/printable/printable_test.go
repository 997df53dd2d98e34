package printable

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"plain":                          "plain",
		"\x1b[1;32mgreen\x1b[0m":         "green",
		"\x1b]0;title\x07text":           "text",
		"\x1b]8;;http://x\x1b\\link\x1b": "link",
		"\x1bMup":                        "up",
		"50%\r100%":                      "50%100%",
		"a\tb\n  c":                      "a\tb\n  c",
		"grüße 家":                        "grüße 家",
		"bell\a \x7f\u0085":              "bell ",
		"\u202egnp\u202c \u2066x\u2069":  "gnp x",
		"a\u2028b\u2029c":                "abc",
		"\xffx\xc3":                      "\ufffdx\ufffd",
		"👩\u200d🔬":                       "👩\u200d🔬",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		most int
		want string
	}{
		"white space":        {" two\n\tlines\r\n ", 20, "two lines"},
		"as long as allowed": {"üüü", 3, "üüü"},
		"too long":           {"üüüü", 3, "üü…"},
		"one":                {"ab", 1, "…"},
		"far too long":       {strings.Repeat("\u20ac", 1000), 4, "€€€…"},
		"cut in a character": {"x" + strings.Repeat(" ", 13) + "€€", 1, "x"},
		"not UTF-8":          {"a\xffb", 10, "a\ufffdb"},
		"only blanks":        {" \t ", 10, ""},
	} {
		if got := Line(tt.in, tt.most); got != tt.want {
			t.Errorf("%s: Line(%q, %d) is %q, want %q", name, tt.in, tt.most, got, tt.want)
		}
	}
}

func TestValid(t *testing.T) {
	for in, want := range map[string]bool{
		"": true, "grüße 家 👩\u200d🔬": true, "a\tb": false, "a\nb": false, "a\x00": false, "\x7f": false,
		"\u0085": false, "\u202e": false, "\u2028": false, "\u2029": false, "\xff": false, "\ufffd": true,
	} {
		if Valid(in) != want {
			t.Errorf("Valid(%q) is %v", in, !want)
		}
	}
}

// FuzzPrintable checks the rule itself, in other words than the code's.
func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"x\u202e\u2066\x00\x7f\x9b", "\x1b]8;;http://x\x07link\x1b]8;;\x07 \x9b31m\r\n",
		"\x1b\x1b[[mm", "\xe2\x82", strings.Repeat("ü ", 300)} {
		f.Add(s, 7)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		most = 1 + (most%300+300)%300
		bad := func(c rune) bool {
			return c == 0x1b || unicode.Is(unicode.Cc, c) && c != '\t' && c != '\n' ||
				unicode.Is(unicode.Bidi_Control, c) ||
				c == 0x2028 || c == 0x2029
		}
		text, line := Text(s), Line(s, most)
		if !utf8.ValidString(text) || strings.ContainsFunc(text, bad) {
			t.Errorf("Text(%q) leaves %q", s, text)
		}
		if !Valid(line) || utf8.RuneCountInString(line) > most || strings.Contains(line, "  ") ||
			strings.TrimSpace(line) != line {
			t.Errorf("Line(%q, %d) leaves %q", s, most, line)
		}
		if again := Line(line, most); again != line {
			t.Errorf("Line of %q is %q", line, again)
		}
	})
}
