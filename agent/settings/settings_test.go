package settings

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file is what the table of the tests fills.
type file struct {
	Name  string
	Bad   string
	List  []string
	Table map[string]string
	Base  shape
	Named map[string]*shape
	Rows  []row
}

type shape struct {
	Size int
	Rows []row
}

type row struct {
	On   bool
	Kind string
}

func inner(v any) (map[string]string, error) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, ErrType
	}
	all := map[string]string{}
	for key, v := range table {
		s, ok := v.(string)
		if !ok {
			return nil, &Below{QuoteKey(key), errors.New("expected text")}
		}
		all[key] = s
	}
	return all, nil
}

func testTable() Table[file] {
	text := OfText("text", Plain, nil)
	size := Whole[int]("a number from 1 to 9", 1, 9)
	return Table[file]{Manual: "file(5)", Sections: []Section[file]{
		{Key: "a", Doc: "The first."},
		{Key: "row[]", Add: func(f *file, _ Entry) bool { f.Rows = append(f.Rows, row{}); return true }},
		{Key: "base"},
		{Key: "base.row", Refuse: "rows are written elsewhere"},
		{Key: "deep.named.*", Check: func(name string) error {
			if strings.Contains(name, " ") {
				return errors.New("no blanks")
			}
			return nil
		}, Add: func(f *file, at Entry) bool {
			if f.Named[at.Name] != nil {
				return false
			}
			s := f.Base
			f.Named[at.Name] = &s
			return true
		}},
		{Key: "deep.named.*.row[]", Add: func(f *file, at Entry) bool {
			f.Named[at.Name].Rows = append(f.Named[at.Name].Rows, row{})
			return true
		}},
	}, Keys: []Key[file]{
		Define("a.name", text, func(f *file, _ Entry) *string { return &f.Name },
			Words{Default: `"x"`, Doc: "A name."}),
		Define("a.list", ListOf("a list of texts", text), func(f *file, _ Entry) *[]string { return &f.List }, Words{}),
		Define("a.table", Kind[map[string]string]{Name: "a table", Read: inner},
			func(f *file, _ Entry) *map[string]string { return &f.Table }, Words{Doc: "A table."}),
		Define("base.size", size, func(f *file, _ Entry) *int { return &f.Base.Size }, Words{Default: "3"}),
		Define("deep.named.*.size", size, func(f *file, at Entry) *int { return &f.Named[at.Name].Size }, Words{}),
		Define("row[].on", Bool(), func(f *file, at Entry) *bool { return &f.Rows[at.Index].On },
			Words{Default: "true"}),
		Define("row[].kind", OneOf("", "p", "q"), func(f *file, at Entry) *string { return &f.Rows[at.Index].Kind },
			Words{Default: `"p"`}),
		Define("deep.named.*.row[].on", Bool(),
			func(f *file, at Entry) *bool { return &f.Named[at.Name].Rows[at.Index].On }, Words{}),
	}}
}

func read(t *testing.T, texts ...string) (*file, Result) {
	t.Helper()
	f := &file{Named: map[string]*shape{}}
	if err := testTable().Defaults(f); err != nil {
		t.Fatal(err)
	}
	var last Result
	for _, text := range texts {
		last = testTable().Read(f, "f", []byte(text))
	}
	return f, last
}

// TestRead reads all kinds of sections, in two files.
func TestRead(t *testing.T) {
	f, result := read(t, "[deep.named.one]\nsize = 5\n", `
[deep.named.one]
[[deep.named.one.row]]
[[deep.named.one.row]]
on = true
[deep.named."two.3"]
[base]
size = 7
[[row]]
on = false
kind = "q"
[[row]]
[a]
list = ["a",
  "b"]
table.x = "y"
`)
	want := &file{Name: "x", List: []string{"a", "b"}, Table: map[string]string{"x": "y"}, Base: shape{Size: 7},
		Named: map[string]*shape{"one": {5, []row{{}, {On: true}}}, "two.3": {Size: 7}},
		Rows:  []row{{false, "q"}, {true, "p"}}}
	if diff := cmp.Diff(want, f); diff != "" || len(result.Problems) > 0 {
		t.Errorf("%v (-want +got):\n%s", result.Problems, diff)
	}
	if diff := cmp.Diff([]string{"a.list", "a.table", "row[0].kind", "row[0].on", "base.size",
		"deep.named.one.row[1].on"}, result.Keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"row[0]", "row[1]", "deep.named.one", "deep.named.one.row[0]",
		"deep.named.one.row[1]", `deep.named."two.3"`}, result.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	for key, want := range map[string]int{"a": 13, "a.list": 14, "a.list[0]": 14, "a.list[1]": 15, "a.name": 13,
		"a.table.x": 16, "row": 9, "row[0].on": 10, "row[1]": 12, "row[1].on": 12, "row[2]": 9, "base.size": 8,
		"deep": 2, `deep.named."two.3".size`: 6, "deep.named.one.row[1].on": 5, "x": 0, "": 0} {
		if got := result.Lines.Of(key); got != want {
			t.Errorf("%s is on line %d, want %d", key, got, want)
		}
	}
}

// TestProblems checks each refusal of the reader.
func TestProblems(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"syntax":          {"[a\n", "f:1: cannot read this as TOML: "},
		"twice":           {"[a]\nname = \"\"\nname = \"\"\n", "f:3: cannot read this as TOML: "},
		"unknown key":     {"[a]\nnam = 1\n", `f:2: a.nam: unknown key; did you mean "a.name"?`},
		"far from any":    {"[a]\nsomething = 1\n", "f:2: a.something: unknown key; file(5) lists all"},
		"unknown at top":  {"name = 1\n", `f:1: name: unknown key; did you mean "a.name"?`},
		"unknown section": {"[bas]\n", `f:1: bas: unknown section; did you mean "base"?`},
		"unknown, named": {"[deep.named.n]\nsiz = 1\n",
			`f:2: deep.named.n.siz: unknown key; did you mean "deep.named.n.size"?`},
		"unknown, in a row": {"[[row]]\n[[row]]\nkin = 1\n", `f:3: row.kin: unknown key; did you mean "row.kind"?`},
		"refused":           {"[[base.row]]\n", "f:1: base.row: rows are written elsewhere"},
		"type":              {"[a]\nname = 5\n", "f:2: a.name: expected text, found a whole number"},
		"text type":         {"[base]\nsize = \"5\"\n", "f:2: base.size: expected a number from 1 to 9, found text"},
		"below":             {"[base]\nsize = 0\n", "f:2: base.size: expected a number from 1 to 9; 0 is out of range"},
		"above": {"[base]\nsize = 10\n", "f:2: base.size: expected a number from 1 to 9; 10 is out of " +
			"range"},
		"choice":  {"[[row]]\nkind = \"r\"\n", `f:2: row.kind: expected "p" or "q"; "r" is none of these`},
		"control": {"[a]\nname = \"a\\u0007\"\n", "f:2: a.name: expected text; it holds a control character"},
		"element": {"[a]\nlist = [\"a\",\n\"b\\u0007\"]\n",
			"f:3: a.list: expected a list of texts; it holds"},
		"element's type": {"[a]\nlist = [\n\"a\", 5]\n", "f:3: a.list: expected a list of texts, found a list of " +
			"other things"},
		"no list": {"[a]\nlist = 2020-01-01\n", "f:2: a.list: expected a list of texts, found a date or " +
			"time"},
		"in a table":       {"[a]\n[a.table]\nx = 5\n", "f:3: a.table.x: expected text"},
		"in an inline one": {"[a]\ntable = { y = \"\", x = 5 }\n", "f:2: a.table.x: expected text"},
		"no section":       {"a = 1.5\n", "f:1: a: expected a section [a], found a number with a fraction"},
		"no named section": {"[deep.named]\nn = true\n", "f:2: deep.named.n: expected a section [deep.named.n], " +
			"found true or false"},
		"name":         {"[deep.named.\"a b\"]\nsize = 1\n", `f:1: deep.named."a b": no blanks`},
		"no rows":      {"row = 1\n", "f:1: row: expected sections [[row]], found a whole number"},
		"one row":      {"[row]\n", "f:1: row: expected sections [[row]], found a table"},
		"row of texts": {"row = [\"a\"]\n", "f:1: row: expected a section [[row]], found text"},
		"row in a row": {"[deep.named.n]\nrow = [{ on = true },\n{ on = 1 }]\n",
			"f:3: deep.named.n.row.on: expected true or false"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, result := read(t, tt.text)
			if len(result.Problems) != 1 || !strings.HasPrefix(result.Problems.Error(), tt.want) {
				t.Errorf("got %q, want %q", result.Problems.Error(), tt.want)
			}
		})
	}
}

// TestOrder checks that all problems are reported, in the order of lines.
func TestOrder(t *testing.T) {
	_, result := read(t, "[base]\nsize = 0\n[a]\nz = 1\nlist = 5\n[[row]]\non = 1\n")
	want := "f:2: base.size: expected a number from 1 to 9; 0 is out of range\nf:4: a.z: unknown key; file(5) lists " +
		"all\n" +
		"f:5: a.list: expected a list of texts, found a whole number\nf:7: row.on: expected true or false, found a " +
		"whole number"
	if got := result.Problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestBadDefault checks that a mistake in the table is an error, not a value that is silently left out.
func TestBadDefault(t *testing.T) {
	table := testTable()
	for i, bad := range []string{`"`, `5`} {
		table.Keys[0].Default = bad
		if err := table.Defaults(&file{}); err == nil || !strings.Contains(err.Error(), "default of a.name") {
			t.Errorf("default %d: %v", i, err)
		}
	}
	table = testTable()
	for i := range table.Keys {
		if table.Keys[i].Key == "row[].on" {
			table.Keys[i].Default = "5"
		}
	}
	if got := table.Read(&file{}, "f", []byte("[[row]]\n")).Problems.Error(); !strings.Contains(got,
		"default of row[].on") {
		t.Errorf("a wrong default of an entry: %q", got)
	}
}

// TestChapters checks the generated documentation.
func TestChapters(t *testing.T) {
	table := testTable()
	table.Sections[4].SampleName, table.Sections[5].Example = "it", `"a.b"`
	var titles []string
	for _, c := range table.Chapters() {
		line := c.Title + " " + c.Sample
		for _, k := range c.Keys {
			line += " " + k.Name
		}
		titles = append(titles, line)
	}
	want := []string{"[a] [a] name table", "[[row]] ", "[base] [base]", "[deep.named.NAME] [deep.named.it]",
		`[[deep.named."a.b".row]] `}
	if diff := cmp.Diff(want, titles); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProblem(t *testing.T) {
	for want, p := range map[string]Problem{"f:3: a.b: x": {"f", 3, "a.b", "x"},
		"f: a.b: x": {File: "f", Key: "a.b", Text: "x"},
		"f:3: x":    {File: "f", Line: 3, Text: "x"}} {
		if got := p.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzRead checks that, whatever a file holds, a problem is on one of its lines and accepted values respect their
// bounds.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"[a\n", "a.b.\"c.d\" = {x=1}\n", "[[row]]\n[row.x]\n", "[deep.named.\"é\"]\nsize=1\n",
		"row = [[{}]]\n", "deep = 1\n", "[a]\nlist = [[\"x\"], {y=1}]\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &file{Named: map[string]*shape{}}
		result := testTable().Read(c, "f", []byte(s))
		for _, p := range result.Problems {
			if p.Line < 1 || p.Line > 1+strings.Count(s, "\n") {
				t.Errorf("%q: problem at line %d: %v", s, p.Line, p)
			}
		}
		for name, n := range c.Named {
			if n.Size < 0 || n.Size > 9 || strings.Contains(name, " ") {
				t.Errorf("%q: accepted %q %+v", s, name, n)
			}
		}
	})
}
