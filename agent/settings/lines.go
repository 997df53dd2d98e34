package settings

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Lines holds the line, from 1, where each key and section of a file is first written. An entry of a list has its
// number from 0: "mount[1].source", "access.users[0]".
type Lines map[string]int

// Of returns the line of a key, or of the nearest enclosing key or section in the file; 0 when there is none.
func (l Lines) Of(key string) int {
	for key != "" {
		if line, ok := l[key]; ok {
			return line
		}
		key = around(key)
	}
	return 0
}

// around cuts the last part off a key: a name after a dot, or a number in brackets.
func around(key string) string {
	quoted := false
	for i := len(key) - 1; i > 0; i-- {
		switch {
		case key[i] == '"' && !escaped(key, i):
			quoted = !quoted
		case !quoted && (key[i] == '.' || key[i] == '['):
			return key[:i]
		}
	}
	return ""
}

// escaped reports whether an odd number of backslashes precedes a byte.
func escaped(s string, i int) bool {
	return (i-len(strings.TrimRight(s[:i], `\`)))%2 == 1
}

// finder collects the lines of a file that is known to be TOML. The decoder itself reports lines only with its own
// errors.
type finder struct {
	data  []byte
	lines Lines
	lists map[string]int    // how many sections of each list were seen so far
	texts map[string]string // how each number is written
}

func keyLines(data []byte) (lines Lines, texts map[string]string) {
	f := finder{data, Lines{}, map[string]int{}, map[string]string{}}
	var p unstable.Parser
	p.Reset(data)
	section := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			section = f.section(e.Key(), e.Kind == unstable.ArrayTable)
		case unstable.KeyValue:
			f.value(section, e)
		}
	}
	return f.lines, f.texts
}

// section records the parts of a section's name and returns its key. A list stands for its last entry.
func (f *finder) section(parts unstable.Iterator, list bool) string {
	key := ""
	for parts.Next() {
		part := parts.Node()
		key = f.note(key, part)
		if list && parts.IsLast() {
			f.lists[key]++
		}
		if n := f.lists[key]; n > 0 {
			key = index(key, n-1)
			f.at(key, part.Raw)
		}
	}
	return key
}

// value records a key and the contents of its value.
func (f *finder) value(section string, e *unstable.Node) {
	key := section
	for parts := e.Key(); parts.Next(); {
		key = f.note(key, parts.Node())
	}
	f.inside(key, e.Value())
}

// inside records the values of a list, the keys of an inline table and the text of a number.
func (f *finder) inside(key string, v *unstable.Node) {
	switch v.Kind {
	case unstable.Integer, unstable.Float:
		f.texts[key] = string(v.Data)
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			f.value(key, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			if it.Node().Raw.Length > 0 {
				f.at(index(key, i), it.Node().Raw)
			}
			f.inside(index(key, i), it.Node())
		}
	}
}

// note adds a part of a key to the parts before it.
func (f *finder) note(key string, part *unstable.Node) string {
	key = join(key, QuoteKey(string(part.Data)))
	f.at(key, part.Raw)
	return key
}

func (f *finder) at(key string, raw unstable.Range) {
	if f.lines[key] == 0 {
		f.lines[key] = 1 + bytes.Count(f.data[:raw.Offset], []byte("\n"))
	}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func index(key string, n int) string { return key + "[" + strconv.Itoa(n) + "]" }
