package guard

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestSurfacesOnlyRead checks that api, web and operator get the half of the database that changes nothing: they may
// name neither store.Store nor store.Open. What they write goes through package actions, which checks and audits. That
// store.Reader changes nothing is a test of package store.
func TestSurfacesOnlyRead(t *testing.T) {
	surfaces := []string{"agent/hub/api", "agent/hub/web", "agent/hub/operator"}
	seen := map[string]bool{}
	for _, s := range sources(t) {
		dir := path.Dir(s.name)
		if !slices.Contains(surfaces, dir) || strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		seen[dir] = true
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if from, ok := sel.X.(*ast.Ident); ok && from.Name == "store" &&
				(sel.Sel.Name == "Store" || sel.Sel.Name == "Open") {
				t.Errorf("%s names store.%s: take a *store.Reader, and let package actions write",
					s.fset.Position(sel.Pos()),
					sel.Sel.Name)
			}
			return true
		})
	}
	if len(seen) != len(surfaces) {
		t.Errorf("found only %v", seen)
	}
}
