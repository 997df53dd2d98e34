// Package guard fails when the code breaks a rule of its architecture.
package guard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// podman is the connection of Podman's client, which all of it links.
const podman = "github.com/containers/podman/v4/pkg/bindings"

const module = "github.com/gifford-lab/gifford-hub/"

// deps returns all packages that a command links.
func deps(t *testing.T, command string) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/"+command)
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./cmd/%s: %v", command, err)
	}
	all := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		all[strings.TrimSpace(line)] = true
	}
	return all
}

// TestLinks checks what each program must never contain.
func TestLinks(t *testing.T) {
	never := map[string][]string{
		"gifford-hub": {module + "agent/root/launcher", module + "agent/root/systemd", module + "agent/root/unit",
			module + "agent/root/memberpodman", podman},
		"gifford-launcher": {"net/http", "html/template", "text/template", "database/sql", module + "agent/hub/login",
			module + "agent/hub/store",
			"github.com/coreos/go-oidc/v3/oidc", "github.com/spf13/cobra", podman},
		"gifford-shell": {"html/template", "database/sql", module + "agent/root/launcher",
			module + "agent/hub/store", module + "agent/hub/login", module + "agent/hub/web"},
		"gifford-view": {"net/http", "database/sql", module + "agent/root/launcher", module + "agent/root/systemd",
			podman},
		"gifford-gpus": {"net/http", "html/template", "database/sql", module + "agent/root/launcher",
			module + "agent/root/systemd", module + "agent/hub/store", module + "agent/policy"},
		"gifford-images": {"html/template", "database/sql", module + "agent/root/launcher",
			module + "agent/root/systemd", module + "agent/hub/store", module + "agent/hub/login",
			module + "agent/hub/web"},
		"gifford-container": {"net/http", "html/template", "database/sql", module + "agent/root/launcher",
			module + "agent/root/systemd"},
	}
	for command, packages := range never {
		all := deps(t, command)
		for _, p := range packages {
			if all[p] {
				t.Errorf("%s links %s", command, p)
			}
		}
	}
}

// TestOneImporter checks that go-systemd's D-Bus client has a single importing package.
func TestOneImporter(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, imported := range fields[1:] {
			if imported == "github.com/coreos/go-systemd/v22/dbus" && fields[0] != module+"agent/root/systemd" {
				t.Errorf("%s imports %s; only agent/root/systemd may", fields[0], imported)
			}
		}
	}
}

// TestPackageComments checks that every package says what it does.
func TestPackageComments(t *testing.T) {
	dirs := map[string]bool{}
	for _, pattern := range []string{"../../agent/*/*.go", "../../cmd/*/*.go", "../../test/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			dirs[filepath.Dir(file)] = dirs[filepath.Dir(file)] || documented(f)
		}
	}
	if len(dirs) < 10 {
		t.Fatalf("found only %d packages", len(dirs))
	}
	for dir, ok := range dirs {
		if !ok {
			t.Errorf("the package in %s has no comment that says what it does", strings.TrimPrefix(dir, "../../"))
		}
	}
}

func documented(f *ast.File) bool { return f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" }
