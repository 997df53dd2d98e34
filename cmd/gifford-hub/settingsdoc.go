package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/config"
)

// section is what stands above settings in the documentation.
type section struct {
	key      string // "services.NAME" for one that is there for each name
	example  string // of such a section: "services.idle-culler"; "" for others
	doc      string
	settings []config.Setting
}

// sections gives all that the settings have.
func sections() []section {
	var all []section
	for _, s := range config.Sections() {
		one := section{key: s[0], doc: s[1]}
		for _, k := range config.Settings() {
			if k.Section() == s[0] {
				one.settings = append(one.settings, k)
			}
		}
		all = append(all, one)
	}
	for _, f := range config.Families() {
		all = append(all, section{f.Section, f.Example, f.Doc, f.Settings})
	}
	return all
}

// eachSection calls the functions for each section and for each of its settings.
func eachSection(head func(section), setting func(config.Setting)) {
	for _, s := range sections() {
		head(s)
		for _, k := range s.settings {
			setting(k)
		}
	}
}

// settingsMarkdown writes docs/settings.md.
func settingsMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Settings of the hub

` + settingsIntro + "\n\nThis page is made from the table in `agent/config` by `make docs`; the same text is in gifford-hub.toml(5).\n")
	eachSection(func(s section) {
		fmt.Fprintf(&b, "\n## [%s]\n%s\n\n| key | expected | default | meaning |\n|---|---|---|---|\n", s.key, s.doc)
	}, func(s config.Setting) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name(), cell(s.Type), cell(code(s.Default)), cell(s.Doc+exampleOf(s)))
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// settingsIntro is Markdown without links, for the page and the manual.
const settingsIntro = "The hub reads `/etc/gifford-hub/hub.toml` and then the files `/etc/gifford-hub/hub.d/*.toml` in the order of their names. " +
	"They are TOML. A value of a later file replaces that of an earlier one, lists and tables as a whole. " +
	"Sections with a NAME are there once for each name; a later file adds sections, and keys to those of an earlier one. " +
	"An unknown key, a wrong type or a contradiction is an error that names file and line; `gifford-hub config validate` finds all of them. " +
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
	eachSection(func(s section) {
		head := "[" + s.key + "]"
		if s.example != "" { // one that stood there would be one more role or service
			head = "#[" + s.example + "]"
		}
		fmt.Fprintf(&b, "\n%s%s\n", comment(s.doc), head)
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
