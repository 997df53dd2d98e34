package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Result describes what Read found in a file.
type Result struct {
	Lines    Lines
	Keys     []string // those that were read
	Entries  []string // the sections, of those that there may be many of
	Problems Problems // in the order of lines
}

// Read applies one file's values to c. They replace the values of c; lists and tables are replaced as a whole. file is
// for problems.
func (t Table[C]) Read(c *C, file string, data []byte) Result {
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return Result{Problems: Problems{syntax(file, err)}}
	}
	r := &reader[C]{table: t, file: file, c: c, keys: map[string]Key[C]{}, sections: map[string]Section[C]{},
		rank: map[string]int{}}
	r.Lines, r.texts = keyLines(data)
	for _, k := range t.Keys {
		r.keys[k.Key] = k
	}
	for i, s := range t.Sections {
		r.sections[s.Key] = s
		for key := s.Key; key != ""; key = outer(key) {
			if r.rank[key] == 0 {
				r.rank[key] = i + 1
			}
		}
	}
	r.section(place{}, tree)
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return r.Result
}

// outer is the enclosing section: "gpus.group" for "gpus.group.*", "profile.*" for "profile.*.mount[]".
func outer(section string) string {
	return section[:max(strings.LastIndexByte(section, '.'), 0)]
}

func syntax(file string, err error) Problem {
	p := Problem{File: file, Text: "cannot read this as TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		p.Line, _ = at.Position()
	}
	return p
}

// reader applies one file.
type reader[C any] struct {
	table    Table[C]
	file     string
	c        *C
	keys     map[string]Key[C]
	sections map[string]Section[C]
	rank     map[string]int    // of sections and those around them: the order of the table, from 1
	texts    map[string]string // of numbers
	Result
}

// place is the position of the reader in the file.
type place struct {
	key   string // as people write it
	line  string // as Lines has it, with numbers
	known string // as the table has it
	entry Entry
}

func (p place) below(name string) place {
	quoted := QuoteKey(name)
	return place{join(p.key, quoted), join(p.line, quoted), join(p.known, quoted), p.entry}
}

// section reads a section: keys first, then the sections in it in the order of the table.
func (r *reader[C]) section(at place, tree map[string]any) {
	for _, name := range r.ordered(at, tree) {
		p, v := at.below(name), tree[name]
		sub, isTable := v.(map[string]any)
		switch k, ok := r.keys[p.known]; {
		case ok:
			r.value(k, p, v)
		case r.sections[p.known+"[]"].Key != "":
			r.list(r.sections[p.known+"[]"], p, v)
		case r.sections[p.known].Refuse != "":
			r.problem(p, "%s", r.sections[p.known].Refuse)
		case r.rank[p.known] == 0:
			r.problem(p, "%s", r.unknown(p, v))
		case !isTable:
			r.problem(p, "expected a section [%s], found %s", p.key, TypeName(v))
		case r.sections[p.known+".*"].Key != "":
			r.named(r.sections[p.known+".*"], p, sub)
		default:
			r.section(p, sub)
		}
	}
}

func (r *reader[C]) ordered(at place, tree map[string]any) []string {
	order := make(map[string]int, len(tree))
	for name := range tree {
		known := at.below(name).known
		order[name] = cmp.Or(r.rank[known], r.rank[known+"[]"])
	}
	return slices.SortedFunc(maps.Keys(tree), func(a, b string) int {
		return cmp.Or(cmp.Compare(order[a], order[b]), cmp.Compare(a, b))
	})
}

// named reads the sections of a kind that have names.
func (r *reader[C]) named(s Section[C], at place, tree map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		p := at.below(name)
		p.known, p.entry.Name = s.Key, name
		sub, isTable := tree[name].(map[string]any)
		if !isTable {
			r.problem(p, "expected a section [%s], found %s", p.key, TypeName(tree[name]))
			continue
		}
		if s.Check != nil {
			if err := s.Check(name); err != nil {
				r.problem(p, "%v", err)
				continue
			}
		}
		r.entry(s, p, sub)
	}
}

// list reads the sections of a list.
func (r *reader[C]) list(s Section[C], at place, v any) {
	list, ok := v.([]any)
	if !ok {
		r.problem(at, "expected sections [[%s]], found %s", at.key, TypeName(v))
		return
	}
	for i, v := range list {
		p := at
		p.line, p.known, p.entry.Index = index(at.line, i), s.Key, i
		tree, isTable := v.(map[string]any)
		if !isTable {
			r.problem(p, "expected a section [[%s]], found %s", at.key, TypeName(v))
			return
		}
		r.entry(s, p, tree)
	}
}

func (r *reader[C]) entry(s Section[C], at place, tree map[string]any) {
	if s.Add(r.c, at.entry) {
		if err := r.table.defaults(r.c, s.Key, at.entry); err != nil {
			r.problem(at, "%v", err)
			return
		}
	}
	r.Entries = append(r.Entries, at.line)
	r.section(at, tree)
}

func (r *reader[C]) value(k Key[C], at place, v any) {
	if r.table.Numbers {
		v = written(r.texts, at.line, v)
	}
	err := k.Read(r.c, at.entry, v)
	var below *Below
	var one *element
	switch {
	case err == nil:
		r.Keys = append(r.Keys, at.line)
	case errors.As(err, &below):
		at.key, at.line = at.key+"."+below.Key, at.line+"."+below.Key
		r.problem(at, "%s", below.Err)
	case errors.As(err, &one):
		at.line = index(at.line, one.index)
		r.problem(at, "%s", Expected(k.Type, v, err))
	default:
		r.problem(at, "%s", Expected(k.Type, v, err))
	}
}

// unknown reports an unknown key, with the key or section that was probably meant.
func (r *reader[C]) unknown(at place, v any) string {
	what, known := "key", slices.Collect(maps.Keys(r.keys))
	if _, isTable := v.(map[string]any); isTable {
		what, known = "section", slices.Collect(maps.Keys(r.rank))
	}
	slices.Sort(known)
	near := suggest(at.known, known)
	if near == "" {
		return fmt.Sprintf("unknown %s; %s lists all", what, r.table.Manual)
	}
	near = strings.ReplaceAll(strings.ReplaceAll(near, "[]", ""), ".*.", "."+QuoteKey(at.entry.Name)+".")
	return fmt.Sprintf("unknown %s; did you mean %q?", what, near)
}

func (r *reader[C]) problem(at place, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{r.file, r.Lines.Of(at.line), at.key, fmt.Sprintf(format, args...)})
}
