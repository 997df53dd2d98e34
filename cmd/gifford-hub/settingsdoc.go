package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// settingsMarkdown writes docs/settings.md.
func settingsMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Settings of the hub\n\n")
	b.WriteString(wrap(settingsIntro, 120, "") + "\n")
	b.WriteString(wrap("This page is made from the table in `agent/hub/config` by `make docs`; the same text is in "+
		"gifford-hub.toml(5).", 120, ""))
	for _, c := range config.Chapters() {
		fmt.Fprintf(&b, "\n## %s\n%s\n| key | expected | default | meaning |\n|---|---|---|---|\n", c.Title,
			wrap(c.Doc, 120, ""))
		for _, k := range c.Keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, cell(k.Type), cell(code(k.Default)),
				cell(k.Doc+exampleOf(k)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// settingsIntro is Markdown without links, for the page and the manual.
const settingsIntro = "The hub reads `/etc/gifford-hub/hub.toml` and then the files `/etc/gifford-hub/hub.d/*.toml` " +
	"in the order of their names. They are TOML. A value of a later file replaces that of an earlier one, lists and " +
	"tables as a whole. An unknown key, a wrong type or a contradiction is an error that names file and line; " +
	"`gifford-hub config validate` finds all of them. After a change: `systemctl reload gifford-hub`."

func exampleOf(k settings.Documented) string {
	if k.Example == "" {
		return ""
	}
	return " Example: " + code(k.Example)
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// cell keeps a text within one cell of a Markdown table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// settingsFile writes the hub.toml that the package installs: nothing is set in it.
func settingsFile(w io.Writer) error {
	return sampleFile(w, `# Settings of gifford-hub: gifford-hub.toml(5), /usr/share/doc/gifford-hub/settings.md.
# Lines with a value show the default, or an example where there is none.
# After a change: gifford-hub config validate && systemctl reload gifford-hub
`, config.Chapters())
}

// sampleFile writes a file with every key: those that the package sets, and the others as comments.
func sampleFile(w io.Writer, intro string, chapters []settings.Chapter) error {
	var b strings.Builder
	b.WriteString(intro)
	for _, c := range chapters {
		// A section of which there may be many is only shown: written out, it would be one.
		fmt.Fprintf(&b, "\n%s%s\n", comment(c.Doc), cmp.Or(c.Sample, "#"+c.Title))
		for _, k := range c.Keys {
			fmt.Fprintf(&b, "\n%s%s\n", comment(k.Doc), sampleLine(c, k))
		}
		b.WriteString(c.More)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sampleLine is a key with its value in the file of the package.
func sampleLine(c settings.Chapter, k settings.Documented) string {
	switch {
	case k.Sample != "":
		return k.Name + " = " + k.Sample
	case c.Many: // an example says more of one entry than a default does
		return "#" + k.Name + " = " + cmp.Or(k.Example, k.Default, `""`)
	}
	return "#" + k.Name + " = " + cmp.Or(k.Default, k.Example, `""`)
}

// comment breaks a text into comment lines of at most 96 letters.
func comment(text string) string { return wrap(strings.ReplaceAll(text, "`", ""), 96, "# ") }

// wrap breaks a text into lines of at most that many letters, each with a prefix and an end.
func wrap(text string, width int, prefix string) string {
	var b strings.Builder
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(prefix)+len(line)+1+len(word) > width {
			b.WriteString(prefix + line + "\n")
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return b.String() + prefix + line + "\n"
}
