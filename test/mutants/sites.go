package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
)

// site is one possible change: the bytes from..to of a file become text.
type site struct {
	file     string
	line     int
	function string // in which it stands, "Type.Method" for methods
	from, to int
	text     string
	what     string // for people and for the list of accepted survivors: "a == b -> a != b"
}

// key identifies the change as long as its function and its expression stay as they are.
func (s site) key(pkg string) string { return pkg + " " + s.function + ": " + s.what }

// turned maps an operator to its replacements. Both neighbours of a bound are tried: "<" becomes ">=" (the other way
// round) and "<=" (one further).
func turned(op token.Token) []token.Token {
	switch op {
	case token.EQL:
		return []token.Token{token.NEQ}
	case token.NEQ:
		return []token.Token{token.EQL}
	case token.LSS:
		return []token.Token{token.GEQ, token.LEQ}
	case token.LEQ:
		return []token.Token{token.GTR, token.LSS}
	case token.GTR:
		return []token.Token{token.LEQ, token.GEQ}
	case token.GEQ:
		return []token.Token{token.LSS, token.GTR}
	case token.LAND:
		return []token.Token{token.LOR}
	case token.LOR:
		return []token.Token{token.LAND}
	}
	return nil
}

// finder collects the sites of one file.
type finder struct {
	file  string
	src   []byte
	fset  *token.FileSet
	sites []site
}

// sitesOf returns all possible changes of a Go file, in the order of the source.
func sitesOf(path string) ([]site, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &finder{file: path, src: src, fset: token.NewFileSet()}
	parsed, err := parser.ParseFile(f.fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range parsed.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			f.function(nameOf(fn), fn.Type, fn.Body)
		}
	}
	return f.sites, nil
}

func nameOf(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	return fmt.Sprint(t) + "." + fn.Name.Name
}

// function walks a body. A function literal in it has results of its own.
func (f *finder) function(name string, t *ast.FuncType, body *ast.BlockStmt) {
	returnsError := lastIsError(t)
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.function(name, n.Type, n.Body)
			return false
		case *ast.BinaryExpr:
			for _, op := range turned(n.Op) {
				f.add(name, n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op.String(), n)
			}
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				f.add(name, n.OpPos, n.OpPos+1, "", n)
			}
		case *ast.ReturnStmt:
			if returnsError && len(n.Results) > 0 {
				f.dropError(name, n.Results[len(n.Results)-1])
			}
		}
		return true
	})
}

// dropError adds the change of a returned error to nil. A call that returns several values is left alone.
func (f *finder) dropError(name string, e ast.Expr) {
	switch e := e.(type) {
	case *ast.Ident:
		if e.Name == "nil" {
			return
		}
	case *ast.CallExpr:
		// Its work may be more than its error. An error made here is only the error.
		if !makesError(e) {
			return
		}
	case *ast.UnaryExpr, *ast.SelectorExpr:
	default:
		return
	}
	f.add(name, e.Pos(), e.End(), "nil", e)
}

// makesError reports whether a call only makes an error: fmt.Errorf, errors.New, fail(…) and their like.
func makesError(c *ast.CallExpr) bool {
	name := ""
	switch fun := c.Fun.(type) {
	case *ast.Ident:
		name = fun.Name
	case *ast.SelectorExpr:
		name = fun.Sel.Name
	}
	name = strings.ToLower(name)
	return name == "new" || strings.HasPrefix(name, "err") || strings.HasPrefix(name, "fail") ||
		strings.HasPrefix(name, "refuse")
}

func lastIsError(t *ast.FuncType) bool {
	if t.Results == nil || len(t.Results.List) == 0 {
		return false
	}
	id, ok := t.Results.List[len(t.Results.List)-1].Type.(*ast.Ident)
	return ok && id.Name == "error"
}

// add notes a change within the expression around it, which is shown.
func (f *finder) add(function string, from, to token.Pos, text string, around ast.Expr) {
	at := func(p token.Pos) int { return f.fset.Position(p).Offset }
	before := string(f.src[at(around.Pos()):at(around.End())])
	after := before[:at(from)-at(around.Pos())] + text + before[at(to)-at(around.Pos()):]
	f.sites = append(f.sites, site{file: f.file, line: f.fset.Position(from).Line, function: function, from: at(from),
		to: at(to), text: text, what: short(before) + " -> " + short(after)})
}

// short puts an expression on one line.
func short(s string) string { return strings.Join(strings.Fields(s), " ") }
