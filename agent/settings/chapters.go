package settings

// Chapter is the documentation of one section.
type Chapter struct {
	Title  string // "[host]", "[profile.NAME]", "[[mount]]"
	Doc    string // Markdown without links
	Many   bool   // there may be more than one
	Sample string // the title in the file of the package; "" where the section is a comment there
	More   string // more lines of that file
	Keys   []Documented
}

// Documented is the documentation of one key.
type Documented struct {
	Name string // within its section
	Type string // what is expected
	Words
}

// Chapters returns the sections with the documented keys, in the order of the table.
func (t Table[C]) Chapters() []Chapter {
	var all []Chapter
	for _, s := range t.Sections {
		if s.Refuse != "" {
			continue
		}
		c := Chapter{Title: s.title(s.Example), Doc: s.Doc, Many: s.Many(), More: s.Sample}
		switch {
		case !c.Many:
			c.Sample = c.Title
		case s.SampleName != "":
			c.Sample = s.title(s.SampleName)
		}
		for _, k := range t.Keys {
			if k.Section() == s.Key && k.Doc != "" {
				c.Keys = append(c.Keys, Documented{k.Name(), k.Type, k.Words})
			}
		}
		all = append(all, c)
	}
	return all
}
