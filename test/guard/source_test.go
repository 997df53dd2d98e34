package guard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is one parsed Go file.
type source struct {
	name string // within the repository
	fset *token.FileSet
	file *ast.File
}

// sources returns all Go files of the repository, those with build tags too.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, name := range files(t, ".go") {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(top, name), nil,
			parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{name, fset, f})
	}
	return all
}

// files returns the repository's files with one of the endings, without build outputs.
func files(t *testing.T, endings ...string) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS(top), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".cache", "dist", "bin", "node_modules"}, path):
			return fs.SkipDir
		case !d.IsDir() && slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(path, e) }):
			all = append(all, path)
		}
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("found %d files ending in %v: %v", len(all), endings, err)
	}
	return all
}

// TestPackageComments checks that every package has a comment, at every depth.
func TestPackageComments(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.name)
		says := s.file.Doc != nil && strings.TrimSpace(s.file.Doc.Text()) != ""
		documented[dir] = documented[dir] || says
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("the package in %s has no comment that says what it does", dir)
		}
	}
}

// TestOnlyAccessMakesSubjects checks that only one package says who asks and with which rights.
func TestOnlyAccessMakesSubjects(t *testing.T) {
	found := false
	for _, s := range sources(t) {
		inAccess := strings.HasPrefix(s.name, "agent/hub/access/")
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || len(lit.Elts) == 0 {
				return true
			}
			switch typ := lit.Type.(type) {
			case *ast.SelectorExpr:
				x, _ := typ.X.(*ast.Ident)
				if x != nil && x.Name == "access" && typ.Sel.Name == "Subject" &&
					!strings.HasSuffix(s.name, "_test.go") {
					t.Errorf("%s: a Subject is made outside agent/hub/access", s.fset.Position(lit.Pos()))
				}
			case *ast.Ident:
				found = found || inAccess && typ.Name == "Subject"
			}
			return true
		})
	}
	if !found {
		t.Error("agent/hub/access makes no Subject: this test has lost what it looks for")
	}
}

// Bounds of the functions of agent and cmd, tests apart (CONTRIBUTING.md).
const (
	medianLines  = 9
	ninetieth    = 30
	longestLines = 70
)

// TestFunctionLengths checks that functions stay small.
func TestFunctionLengths(t *testing.T) {
	var lengths []int
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") || strings.HasPrefix(s.name, "test/") {
			continue
		}
		for _, d := range s.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1
			lengths = append(lengths, n)
			if n > longestLines {
				t.Errorf("%s: %s has %d lines, at most %d", s.fset.Position(fn.Pos()), fn.Name.Name, n, longestLines)
			}
		}
	}
	slices.Sort(lengths)
	if median := lengths[len(lengths)/2]; median > medianLines {
		t.Errorf("half of the functions have more than %d lines, at most %d", median, medianLines)
	}
	if high := lengths[len(lengths)*9/10]; high > ninetieth {
		t.Errorf("a tenth of the functions have more than %d lines, at most %d", high, ninetieth)
	}
	t.Logf("%d functions: median %d, 90th percentile %d, longest %d lines", len(lengths), lengths[len(lengths)/2],
		lengths[len(lengths)*9/10], lengths[len(lengths)-1])
}

// TestEndToEndOrder checks that each end-to-end test has a position in the order.
func TestEndToEndOrder(t *testing.T) {
	defined, named := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		if filepath.Dir(s.name) != "test/e2e" {
			continue
		}
		for _, d := range s.file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "test") {
				defined[fn.Name.Name] = true
			}
		}
		if filepath.Base(s.name) == "order_test.go" {
			ast.Inspect(s.file, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					named[id.Name] = true
				}
				return true
			})
		}
	}
	for name := range defined {
		if !named[name] {
			t.Errorf("test/e2e: %s has no place in the order of order_test.go", name)
		}
	}
	if len(defined) == 0 {
		t.Error("test/e2e has no tests")
	}
}
