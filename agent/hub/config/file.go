package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// reader applies one file's values to a Config and gathers what is wrong with them.
type reader struct {
	file     string
	cfg      *Config
	settings map[string]Setting
	sections map[string]bool
	named    map[string]named // by section: "services.*"
	entry    string           // the named section that is being read
	lines    map[string]int   // key -> line
	problems Problems
}

// apply reads one TOML file into c and gives every problem of it. Values of the file
// replace those of files before it, lists and tables as a whole.
func apply(c *Config, file string, data []byte) Problems {
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return Problems{syntaxProblem(file, err)}
	}
	r := &reader{file: file, cfg: c, settings: map[string]Setting{}, sections: map[string]bool{},
		named: map[string]named{}, lines: keyLines(data)}
	for _, s := range Settings() {
		r.settings[s.Key] = s
	}
	for _, s := range Sections() {
		r.sections[strings.TrimSuffix(s[0], ".*")] = true
	}
	for _, n := range namedSections() {
		r.named[n.section] = n
	}
	r.table("", "", tree)
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return r.problems
}

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Text: "cannot read this as TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		p.Line, _ = at.Position()
	}
	return p
}

// table reads a section. pattern is prefix with a "*" for the name of a named section.
func (r *reader) table(prefix, pattern string, tree map[string]any) {
	many, isMany := r.named[pattern+"*"]
	for name, v := range tree {
		key, known := prefix+quoteKey(name), pattern+quoteKey(name)
		sub, isTable := v.(map[string]any)
		switch s, ok := r.settings[known]; {
		case isMany && !isTable:
			r.problem(key, "expected a section [%s], found %s", key, typeName(v))
		case isMany:
			r.namedTable(many, key, name, sub)
		case ok:
			r.value(s, key, v)
		case !r.sections[known]:
			r.problem(key, "%s", r.unknown(known, v))
		case !isTable:
			r.problem(key, "expected a section [%s], found %s", key, typeName(v))
		default:
			r.table(key+".", known+".", sub)
		}
	}
}

// namedTable reads one of several sections of a kind.
func (r *reader) namedTable(n named, key, name string, tree map[string]any) {
	if n.check != nil {
		if err := n.check(name); err != nil {
			r.problem(key, "%v", err)
			return
		}
	}
	n.add(r.cfg, name)
	if _, ok := r.cfg.origins[key]; !ok {
		r.cfg.origins[key] = Origin{r.file, r.lines[key]}
	}
	r.entry = name
	r.table(key+".", n.section+".", tree)
}

func (r *reader) value(s Setting, key string, v any) {
	read := s.read
	if s.readNamed != nil {
		read = func(c *Config, v any) error { return s.readNamed(c, r.entry, v) }
	}
	err := read(r.cfg, v)
	var below *belowError
	if errors.As(err, &below) {
		r.problem(key+"."+below.key, "%s", below.err)
		return
	}
	if err != nil {
		r.problem(key, "%s", expected(s, v, err))
		return
	}
	r.cfg.origins[key] = Origin{r.file, r.lines[key]}
}

func (r *reader) unknown(key string, v any) string {
	what, known := "key", []string{}
	if _, isTable := v.(map[string]any); isTable {
		what = "section"
		for s := range r.sections {
			known = append(known, s)
		}
	} else {
		for s := range r.settings {
			known = append(known, s)
		}
	}
	slices.Sort(known)
	if near := suggest(key, known); near != "" {
		if strings.Contains(key, ".*.") {
			near = strings.Replace(near, ".*.", "."+quoteKey(r.entry)+".", 1)
		}
		return fmt.Sprintf("unknown %s; did you mean %q?", what, near)
	}
	return fmt.Sprintf("unknown %s; gifford-hub.toml(5) lists all", what)
}

func (r *reader) problem(key, format string, args ...any) {
	r.problems = append(r.problems, Problem{r.file, r.lines[key], key, fmt.Sprintf(format, args...)})
}

// quoteKey writes one part of a key as TOML does, so that a quoted key with a dot in it
// is not taken for two.
func quoteKey(s string) string {
	bare := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
	if bare && s != "" {
		return s
	}
	return strconv.Quote(s)
}

// keyLines finds the line of each key and section of a file that is known to be TOML.
// The decoder itself tells lines only for its own errors.
func keyLines(data []byte) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(data)
	section := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			section = noteKey(lines, data, "", e.Key()) + "."
		case unstable.KeyValue:
			noteValue(lines, data, section, e)
		}
	}
	return lines
}

// noteValue notes a key and, when its value is an inline table, those in it.
func noteValue(lines map[string]int, data []byte, prefix string, e *unstable.Node) {
	key := noteKey(lines, data, prefix, e.Key())
	if e.Value().Kind != unstable.InlineTable {
		return
	}
	for it := e.Value().Children(); it.Next(); {
		noteValue(lines, data, key+".", it.Node())
	}
}

// noteKey notes each part of a dotted key where it is first seen, and gives the whole.
func noteKey(lines map[string]int, data []byte, prefix string, parts unstable.Iterator) string {
	key := strings.TrimSuffix(prefix, ".")
	for parts.Next() {
		if key != "" {
			key += "."
		}
		key += quoteKey(string(parts.Node().Data))
		if lines[key] == 0 {
			lines[key] = 1 + bytes.Count(data[:parts.Node().Raw.Offset], []byte("\n"))
		}
	}
	return key
}
