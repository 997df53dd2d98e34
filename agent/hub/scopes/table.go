package scopes

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Def is one row of the table of scopes.
type Def struct {
	Name        string
	Description string
	Filters     Kinds    // the kinds of filters that the scope accepts
	Subscopes   []string // the direct ones
}

// Custom is a scope from the settings. A service or an extension checks it; the hub itself does not
// use it.
type Custom struct {
	Name        string
	Description string
	Subscopes   []string // custom ones only
}

// Table is the table of all scopes. It never changes and is safe for concurrent use.
type Table struct {
	defs   []Def
	byName map[string]*line
	self   []string // what "self" stands for, with all subscopes
}

// line is a Def with what is computed from it.
type line struct {
	Def
	all    []string // the scope and all its subscopes, without repetitions
	server []string // the same without those that JupyterHub drops under a filter by server
	// accepts is Filters and those of the scopes that contain this one. Expanding
	// "shares!user=alice" yields "groups:shares!user=alice", as in JupyterHub, so a token may
	// contain it, although it covers nothing.
	accepts Kinds
}

// Default returns the table without custom scopes.
func Default() *Table { return plain() }

var plain = sync.OnceValue(func() *Table {
	t, err := NewTable(nil)
	if err != nil {
		panic(err) // only a custom scope can be wrong
	}
	return t
})

// NewTable makes a table with the custom scopes of the settings added.
func NewTable(custom []Custom) (*Table, error) {
	t := &Table{defs: slices.Clone(definitions), byName: map[string]*line{}}
	for _, c := range custom {
		t.defs = append(t.defs, Def{c.Name, c.Description, ofServer | ofService, slices.Clone(c.Subscopes)})
	}
	for _, d := range t.defs {
		if t.byName[d.Name] != nil {
			return nil, fmt.Errorf("cannot define scope %q: it is there twice", d.Name)
		}
		t.byName[d.Name] = &line{Def: d}
	}
	for _, c := range custom {
		if err := t.checkCustom(c); err != nil {
			return nil, fmt.Errorf("cannot define scope %.80q: %w", c.Name, err)
		}
	}
	return t, t.compile()
}

// checkCustom applies JupyterHub's rule for custom scopes (jupyterhub/scopes.py:
// define_custom_scopes).
func (t *Table) checkCustom(c Custom) error {
	if !validCustom(c.Name) {
		return fmt.Errorf("a custom scope is %q and then at least three of a-z, 0-9 and -_:*, with a letter or "+
			"digit first and no hyphen or colon last", customPrefix)
	}
	if c.Description == "" {
		return fmt.Errorf("it needs a description, which people see when they are asked for it")
	}
	for _, sub := range c.Subscopes {
		if !strings.HasPrefix(sub, customPrefix) {
			return fmt.Errorf("its subscope %.80q is not a custom scope (to grant several scopes together, make a "+
				"role)", sub)
		}
		if t.byName[sub] == nil {
			return fmt.Errorf("its subscope %.80q is not defined", sub)
		}
	}
	return nil
}

// validCustom is ^custom:[a-z0-9][a-z0-9_\-\*:]+[a-z0-9_\*]$.
func validCustom(name string) bool {
	rest, ok := strings.CutPrefix(name, customPrefix)
	if !ok || len(rest) < 3 || !isLowerAlnum(rest[0]) {
		return false
	}
	for i := range len(rest) {
		if c := rest[i]; !isLowerAlnum(c) && c != '_' && c != '*' && (c != '-' && c != ':' || i == len(rest)-1) {
			return false
		}
	}
	return true
}

// compile computes the subscopes of each scope.
func (t *Table) compile() error {
	for _, d := range t.defs {
		l := t.byName[d.Name]
		var err error
		if l.all, err = t.collect(nil, d.Name, nil); err != nil {
			return err
		}
		for _, name := range l.all {
			accepts := d.Filters
			if strings.HasPrefix(name, readUserPrefix) {
				accepts &^= 1 << KindServer
			} else {
				l.server = append(l.server, name)
			}
			t.byName[name].accepts |= accepts
		}
	}
	for _, name := range self {
		t.self = append(t.self, t.byName[name].all...)
	}
	slices.Sort(t.self)
	t.self = slices.Compact(t.self)
	return nil
}

// collect adds a scope and all its subscopes to got. It finds cycles by the path to the scope; only
// custom scopes can form one.
func (t *Table) collect(got []string, name string, path []string) ([]string, error) {
	if slices.Contains(path, name) {
		return nil, fmt.Errorf("cannot define scope %q: it contains itself, by way of %s", name,
			strings.Join(path, ", "))
	}
	if slices.Contains(got, name) {
		return got, nil
	}
	got = append(got, name)
	var err error
	for _, sub := range t.byName[name].Subscopes {
		if got, err = t.collect(got, sub, append(path, name)); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// All returns the whole table in the order in which it is shown to people.
func (t *Table) All() []Def { return slices.Clone(t.defs) }

// Lookup returns a scope's row of the table.
func (t *Table) Lookup(name string) (Def, bool) {
	if l := t.byName[name]; l != nil {
		return l.Def, true
	}
	return Def{}, false
}

// Parse parses the text of a scope, which must be in the table and accept its filter.
func (t *Table) Parse(text string) (Scope, error) {
	s, l, err := t.parse(text)
	if err != nil {
		return s, err
	}
	if s.Filter.kind != KindNone && !l.Filters.Has(s.Filter.kind) {
		return s, badFilter(text, l.Filters)
	}
	return s, nil
}

// parse is Parse, but also accepts the filters that an expansion can yield.
func (t *Table) parse(text string) (Scope, *line, error) {
	s, err := Parse(text)
	if err != nil {
		return Scope{}, nil, err
	}
	l := t.byName[s.Name]
	switch {
	case l == nil && s.Name == formerInherit:
		return s, nil, fmt.Errorf("cannot use scope %.80q: no such scope (it is called %q now)", text, Inherit)
	case l == nil:
		return s, nil, fmt.Errorf("cannot use scope %.80q: no such scope", text)
	case s.Filter.kind != KindNone && !l.accepts.Has(s.Filter.kind):
		return s, nil, badFilter(text, l.Filters)
	}
	return s, l, nil
}

func badFilter(text string, kinds Kinds) error {
	if kinds == none {
		return fmt.Errorf("cannot use scope %.80q: it takes no filter", text)
	}
	return fmt.Errorf("cannot use scope %.80q: it can only be filtered by %s", text, strings.Join(kinds.List(), ", "))
}
