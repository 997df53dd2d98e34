// Package guard fails when the code breaks a rule of its architecture (ARCHITECTURE.md, "Sides") or of its style
// (CONTRIBUTING.md). It walks the tree, so that the rules apply to a new package without naming it here. It must never
// hold a rule that is not documented elsewhere.
package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gifford-lab/gifford-hub/"

// top is the repository, seen from this package.
const top = "../.."

// pkg is what "go list" says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string // all that it links
	GoFiles    []string
}

// name is the path within the repository.
func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages returns the packages of agent and cmd, by their paths within the repository.
func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps,GoFiles", "./agent/...",
		"./cmd/...")
	cmd.Dir = top
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.name()] = p
	}
	if len(all) < 40 {
		t.Fatalf("found only %d packages", len(all))
	}
	return all
}

// side returns who runs a package: its first directory below agent, "leaf" for a package without a side. A command is a
// side of its own.
func side(name string) string {
	parts := strings.Split(name, "/")
	switch {
	case parts[0] == "cmd":
		return name
	case len(parts) > 2 || slices.Contains([]string{"hub", "root", "images", "wire", "gpuwatch"}, parts[1]):
		return parts[1]
	}
	return "leaf"
}

// mayImport is the sides that a side's packages may import beside their own.
var mayImport = map[string][]string{
	"leaf":                  {},
	"wire":                  {"leaf"},
	"hub":                   {"wire", "leaf"},
	"root":                  {"wire", "leaf"},
	"images":                {"wire", "leaf"},
	"gpuwatch":              {"wire", "leaf"},
	"cmd/gifford-hub":       {"hub", "wire", "leaf"},
	"cmd/gifford-launcher":  {"root", "wire", "leaf"},
	"cmd/gifford-view":      {"root", "wire", "leaf"},
	"cmd/gifford-shell":     {"root", "wire", "leaf"},
	"cmd/gifford-container": {"wire", "leaf"},
	"cmd/gifford-images":    {"images", "wire", "leaf"},
	"cmd/gifford-gpus":      {"gpuwatch", "leaf"},
}

// TestSides checks that no package imports one of another side. What a program links follows from it.
func TestSides(t *testing.T) {
	for name, p := range packages(t) {
		own := side(name)
		allowed, known := mayImport[own]
		if !known {
			t.Errorf("%s stands on no side that is known: add %q to mayImport, with what it may import", name, own)
		}
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if s := side(other); s != own && !slices.Contains(allowed, s) {
				t.Errorf("%s (%s) imports %s (%s)", name, own, other, s)
			}
		}
	}
}

// never lists what a program must not link besides what its side forbids.
var never = map[string][]string{
	"cmd/gifford-hub": {podman},
	"cmd/gifford-launcher": {"net/http", "html/template", "text/template", "database/sql",
		"github.com/coreos/go-oidc/v3/oidc", "github.com/spf13/cobra", podman, systemdsClient},
	"cmd/gifford-view": {"net/http", "html/template", "database/sql", module + "agent/policy", toml, podman,
		module + "agent/root/launcher", module + "agent/root/systemd"},
	"cmd/gifford-container": {"net/http", "html/template", "database/sql", module + "agent/policy", toml},
	"cmd/gifford-shell": {"html/template", "database/sql", module + "agent/policy", toml,
		module + "agent/root/launcher"},
	"cmd/gifford-gpus":   {"net/http", "html/template", "database/sql", module + "agent/policy", toml, podman},
	"cmd/gifford-images": {"html/template", "database/sql"},
}

const (
	// podman is the connection of Podman's client, which all of it links.
	podman = "github.com/containers/podman/v4/pkg/bindings"
	toml   = "github.com/pelletier/go-toml/v2"
)

// TestLinks checks what each program must never contain.
func TestLinks(t *testing.T) {
	all := packages(t)
	for name, p := range all {
		if strings.HasPrefix(name, "cmd/") && never[name] == nil {
			t.Errorf("nothing says what %s must never link", name)
		}
		for _, dep := range p.Deps {
			if slices.Contains(never[name], dep) {
				t.Errorf("%s links %s", name, dep)
			}
		}
	}
	for name := range never {
		if _, there := all[name]; !there {
			t.Errorf("there is no %s", name)
		}
	}
}

// onlyImporter is the one package that may import a library which gives power over the host.
var onlyImporter = map[string]string{
	"database/sql": "agent/hub/store",
}

// TestOneImporter checks that such a library has a single importing package.
func TestOneImporter(t *testing.T) {
	for name, p := range packages(t) {
		for _, imported := range p.Imports {
			if only := onlyImporter[imported]; only != "" && name != only {
				t.Errorf("%s imports %s; only %s may", name, imported, only)
			}
		}
	}
}

// systemdsClient reads signals on a goroutine of its own, which a malformed one, as any account can send on the bus,
// ends together with the program. Podman's client links it and does not connect with it.
const systemdsClient = "github.com/coreos/go-systemd/v22/dbus"

// TestSystemdsClient checks that nobody uses go-systemd's client.
func TestSystemdsClient(t *testing.T) {
	for name, p := range packages(t) {
		if slices.Contains(p.Imports, systemdsClient) {
			t.Errorf("%s imports go-systemd's client; agent/root/systemd is ours", name)
		}
	}
}

// TestNoGrabBags checks that packages are named for what they hold.
func TestNoGrabBags(t *testing.T) {
	for name := range packages(t) {
		switch path.Base(name) {
		case "util", "utils", "common", "helpers", "types", "manager", "misc", "pkg":
			t.Errorf("%s is not named for what it holds", name)
		}
	}
}
