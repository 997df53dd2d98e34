package guard

import (
	"go/ast"
	"path"
	"strings"
	"testing"
)

// belowBackend is where the hub may know how servers run on its own host: the backend for it, the checks of this host,
// and package hub, which puts the backend in. What stands below a directory is part of it, but for package hub.
var belowBackend = []string{"agent/hub/backend/local", "agent/hub/check"}

// knowsHost reports whether a directory of the hub may name units and the launcher.
func knowsHost(dir string) bool {
	if dir == "agent/hub" {
		return true
	}
	for _, below := range belowBackend {
		if dir == below || strings.HasPrefix(dir, below+"/") {
			return true
		}
	}
	return false
}

// hostWords are next steps on this host, which come with the errors and answers of its backend.
var hostWords = []string{"systemctl status gifford-launcher", "systemctl status jupyter-", "gifford-usage-",
	"journalctl -u jupyter-"}

// TestAboveTheBackend checks that nothing above the backend of this host knows how servers run there: it imports
// neither the launcher's client nor what is below that backend, it does not call ident.Key.Unit, and its texts name no
// unit of a server.
func TestAboveTheBackend(t *testing.T) {
	seen, knows := 0, 0
	for _, s := range sources(t) {
		dir := path.Dir(s.name)
		if dir != "agent/hub" && !strings.HasPrefix(dir, "agent/hub/") || strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		found := hostNames(s)
		if knowsHost(dir) {
			knows += len(found)
			if dir != "agent/hub" {
				continue
			}
		}
		seen++
		for _, f := range found {
			if dir == "agent/hub" && f.wiring {
				continue
			}
			t.Errorf("%s: %s: ask the backend (servers.Server.Name, hint.Of)", s.fset.Position(f.node.Pos()), f.what)
		}
	}
	if seen < 100 || knows == 0 {
		t.Errorf("read %d files above the backend and found %d names below it: this test sees nothing", seen, knows)
	}
}

// hostName is a place that knows how servers run on this host. The wiring may import what it puts in.
type hostName struct {
	node   ast.Node
	what   string
	wiring bool
}

func hostNames(s source) (all []hostName) {
	for _, i := range s.file.Imports {
		name := strings.Trim(i.Path.Value, `"`)
		if name == module+"agent/wire/launcherbus" || strings.HasPrefix(name, module+"agent/hub/backend/local") {
			all = append(all, hostName{i, "imports " + path.Base(name), true})
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Unit" && len(n.Args) == 0 {
				all = append(all, hostName{n, "calls Unit", false})
			}
		case *ast.BasicLit:
			for _, word := range hostWords {
				if strings.Contains(n.Value, word) {
					all = append(all, hostName{n, "names " + word, false})
				}
			}
		}
		return true
	})
	return all
}
