package scopes

// Description describes one scope to people.
type Description struct {
	Scope  string // as it was written
	Text   string
	Filter string // on what: "only you", "users in group cgs"; "" for everything
}

// Describe returns descriptions of a list of scopes for people, in its order and without
// expanding it (jupyterhub/scopes.py: describe_raw_scopes). It skips scopes that are not in the
// table: they grant nothing.
func (t *Table) Describe(list []string, o Owner) []Description {
	described := make([]Description, 0, len(list))
	for _, text := range list {
		s, l, err := t.parse(text)
		if err == nil {
			described = append(described, Description{text, l.Description, s.Filter.words(o)})
		}
	}
	return described
}

func (f Filter) words(o Owner) string {
	if resolved, ok := f.resolve(o); ok {
		f = resolved
	}
	switch {
	case f.kind == KindNone:
		return ""
	case f.kind == KindUser && (f.bare || f.key.User == o.User):
		return "only you"
	case f.bare:
		return "only this " + f.kind.String()
	case f.kind == KindGroup:
		return "users in group " + f.name
	}
	return f.kind.String() + " " + f.value()
}
