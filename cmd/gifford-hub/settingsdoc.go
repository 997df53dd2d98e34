package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
)

// eachSection calls the functions for each section and for each of its settings.
func eachSection(section func(key, doc string), setting func(config.Setting)) {
	for _, s := range config.Sections() {
		section(s[0], s[1])
		for _, k := range config.Settings() {
			if k.Section() == s[0] {
				setting(k)
			}
		}
	}
}

// title is a section as people write it.
func title(key string) string {
	if key == "custom_scopes.*" {
		return `custom_scopes."custom:NAME"`
	}
	return strings.Replace(key, ".*", ".NAME", 1)
}

// settingsMarkdown writes docs/settings.md.
func settingsMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Settings of the hub

` + settingsIntro + "\n\nThis page is made from the table in `agent/hub/config` by `make docs`; the same text is in " +
		"gifford-hub.toml(5).\n")
	eachSection(func(key, doc string) {
		fmt.Fprintf(&b, "\n## [%s]\n%s\n\n| key | expected | default | meaning |\n|---|---|---|---|\n", title(key), doc)
	}, func(s config.Setting) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name(), cell(s.Type), cell(code(s.Default)),
			cell(s.Doc+exampleOf(s)))
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// settingsIntro is Markdown without links, for the page and the manual.
const settingsIntro = "The hub reads `/etc/gifford-hub/hub.toml` and then the files `/etc/gifford-hub/hub.d/*.toml` " +
	"in the order of their names. " +
	"They are TOML. A value of a later file replaces that of an earlier one, lists and tables as a whole. " +
	"An unknown key, a wrong type or a contradiction is an error that names file and line; `gifford-hub config " +
	"validate` finds all of them. " +
	"After a change: `systemctl reload gifford-hub`."

func exampleOf(s config.Setting) string {
	if s.Example == "" {
		return ""
	}
	return " Example: " + code(s.Example)
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
	var b strings.Builder
	b.WriteString(`# Settings of gifford-hub: gifford-hub.toml(5), /usr/share/doc/gifford-hub/settings.md.
# Lines with a value show the default, or an example where there is none.
# After a change: gifford-hub config validate && systemctl reload gifford-hub
`)
	eachSection(func(key, doc string) {
		// A section of which there may be many is only shown: written out, it would be one.
		mark := ""
		if strings.HasSuffix(key, ".*") {
			mark = "#"
		}
		fmt.Fprintf(&b, "\n%s%s[%s]\n", comment(doc), mark, title(key))
	}, func(s config.Setting) {
		value := s.Default
		if value == "" {
			value = s.Example
		}
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(&b, "\n%s#%s = %s\n", comment(s.Doc), s.Name(), value)
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// comment breaks a text into comment lines of at most 96 letters.
func comment(text string) string {
	var b, line strings.Builder
	for _, word := range strings.Fields(strings.ReplaceAll(text, "`", "")) {
		if line.Len() > 0 && line.Len()+len(word) > 94 {
			b.WriteString("#" + line.String() + "\n")
			line.Reset()
		}
		line.WriteString(" " + word)
	}
	return b.String() + "#" + line.String() + "\n"
}
