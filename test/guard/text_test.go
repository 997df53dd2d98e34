package guard

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// columns is the width of a line, a tab counted as four.
const columns = 120

// TestWidth checks that no line is too wide. Tables of Markdown, what a program prints (a fence without a language) and
// lines that are one address stay as they are.
func TestWidth(t *testing.T) {
	for _, name := range append(files(t, ".go", ".md", ".sh", ".yaml", ".yml"), scripts(t)...) {
		fence, output := false, false
		for i, line := range lines(t, name) {
			if strings.HasPrefix(line, "```") {
				fence = !fence
				output = fence && line == "```" && strings.HasSuffix(name, ".md")
			}
			wide := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
			if wide <= columns || strings.HasPrefix(strings.TrimSpace(line), "|") && strings.HasSuffix(name, ".md") ||
				output || address.MatchString(line) {
				continue
			}
			t.Errorf("%s:%d has %d columns, at most %d", name, i+1, wide, columns)
		}
	}
}

// address is a line that cannot be broken: one word, as an address is.
var address = regexp.MustCompile(`^\s*(//|#|[-*])?\s*\S+$`)

func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

// scripts returns the shell scripts without an ending, known by their first line.
func scripts(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, name := range files(t, "") {
		if strings.Contains(filepath.Base(name), ".") || strings.Contains(name, "testdata/") {
			continue
		}
		if first := lines(t, name)[0]; strings.HasPrefix(first, "#!") && strings.Contains(first, "sh") {
			all = append(all, name)
		}
	}
	return all
}

// banned maps words that cost the reader a second look to what to say instead.
var banned = map[string]*regexp.Regexp{
	`"returns", "reports whether"`: regexp.MustCompile(`(?i)\b(gives|tells) (whether|if)\b`),
	`"again"`:                      regexp.MustCompile(`(?i)\banew\b`),
	`"directory"`:                  regexp.MustCompile(`(?i)\bfolders?\b`),
	`"fix"`:                        regexp.MustCompile(`(?i)\bmend(s|ed|ing)?\b`),
	`"lacks"`:                      regexp.MustCompile(`(?i)\b(has|have) not what\b`),
	`"not available"`:              regexp.MustCompile(`(?i)\bcannot be had\b`),
	`"they"`:                       regexp.MustCompile(`\b([Hh]e|[Hh]is|[Hh]im|[Hh]imself)\b`),
}

// TestWords checks Go comments and Markdown for them.
func TestWords(t *testing.T) {
	check := func(where, text string) {
		for instead, word := range banned {
			if found := word.FindString(text); found != "" {
				t.Errorf("%s: %q: say %s", where, found, instead)
			}
		}
	}
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				check(s.fset.Position(c.Pos()).String(), c.Text)
			}
		}
	}
	for _, name := range files(t, ".md") {
		for _, line := range lines(t, name) {
			check(name, line)
		}
	}
}

// joinsHints are the files in which a message and its next step become one text.
var joinsHints = []string{"agent/hint/hint.go", "cmd/gifford-hub/root.go"}

// TestHintsAreFields checks that no other text has a next step in it: it is a field of the error (package hint), which
// pages, commands and the API each show in their way.
func TestHintsAreFields(t *testing.T) {
	joined := regexp.MustCompile(`(?m)^hint:`)
	found := map[string]bool{}
	for _, s := range sources(t) {
		program := strings.HasPrefix(s.name, "agent/") || strings.HasPrefix(s.name, "cmd/")
		if !program || strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !joined.MatchString(text) {
				return true
			}
			if found[s.name] = true; !slices.Contains(joinsHints, s.name) {
				t.Errorf("%s: a hint is part of a text: make it a field of the error (package hint)",
					s.fset.Position(lit.Pos()))
			}
			return true
		})
	}
	for _, name := range joinsHints {
		if !found[name] {
			t.Errorf("%s joins no hint: this test has lost what it looks for", name)
		}
	}
}
