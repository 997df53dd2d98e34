package store

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReaderReads checks the source of Reader's methods: no statement in them changes a row.
func TestReaderReads(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	writes := regexp.MustCompile(`\b(INSERT|UPDATE|DELETE|REPLACE|VACUUM)\b|ExecContext|BeginTx`)
	methods := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			m, ok := d.(*ast.FuncDecl)
			if !ok || m.Recv == nil || !strings.Contains(string(source(set, text, m.Recv.List[0].Type)), "Reader") {
				continue
			}
			methods++
			if found := writes.Find(source(set, text, m.Body)); found != nil {
				t.Errorf("%s: Reader.%s contains %s: make it a method of Store", name, m.Name.Name, found)
			}
		}
	}
	if methods < 20 {
		t.Errorf("found %d methods of Reader; is it still named so?", methods)
	}
}

func source(set *token.FileSet, text []byte, n ast.Node) []byte {
	return text[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset]
}
