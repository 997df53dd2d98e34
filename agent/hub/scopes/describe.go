package scopes

// Description is one scope in words for people.
type Description struct {
	Scope  string // as it was written
	Text   string
	Filter string // on what: "only you", "users in group cgs"; "" for everything
}

// Describe tells people what a list of scopes means, in its order, without expanding it
// (jupyterhub/scopes.py: describe_raw_scopes). Scopes that are not in the table are
// left out: they grant nothing.
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
