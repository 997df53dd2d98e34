package scopes

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// answers is what JupyterHub's own code says (testdata/generate.py).
type answers struct {
	Members   map[string][]string
	Subscopes map[string][]string
	Roles     []struct {
		Name         string
		Scopes, Want []string
	}
	Expansions []struct {
		Scopes, Want          []string
		User, Service, Server string
	}
	Intersections []struct{ Token, Owner, Want []string }
}

func jupyterhub(t *testing.T) answers {
	t.Helper()
	b, err := os.ReadFile("testdata/jupyterhub-6.0.0b2.json")
	if err != nil {
		t.Fatal(err)
	}
	var a answers
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	if len(a.Roles) == 0 || len(a.Expansions) == 0 || len(a.Intersections) == 0 {
		t.Fatal("the answers of JupyterHub are incomplete")
	}
	return a
}

func TestTableIsJupyterHubs(t *testing.T) {
	got := map[string][]string{}
	for _, d := range Default().All() {
		if d.Description == "" || strings.ContainsAny(d.Description, "\n") {
			t.Errorf("%s is described as %q, want one line", d.Name, d.Description)
		}
		got[d.Name] = d.Subscopes
	}
	if diff := cmp.Diff(jupyterhub(t).Subscopes, got, cmpopts.EquateEmpty(),
		cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("JupyterHub (-) and the table (+) differ:\n%s", diff)
	}
}

func TestDefaultRolesAreJupyterHubs(t *testing.T) {
	alice := key(t, "alice", "")
	roles := DefaultRoles()
	for i, want := range jupyterhub(t).Roles {
		t.Run(want.Name, func(t *testing.T) {
			if roles[i].Name != want.Name || roles[i].Description == "" {
				t.Errorf("role %d is %+v", i, roles[i])
			}
			if diff := cmp.Diff(want.Scopes, roles[i].Scopes); diff != "" {
				t.Error(diff)
			}
			got := expand(t, Owner{User: alice.User, Server: &alice}, roles[i].Scopes...)
			if diff := cmp.Diff(want.Want, got.Sorted()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExpandIsJupyterHubs(t *testing.T) {
	for _, tt := range jupyterhub(t).Expansions {
		o := Owner{Service: tt.Service}
		if tt.User != "" {
			o.User = user(t, tt.User)
		}
		if name, server, ok := strings.Cut(tt.Server, "/"); ok {
			k := key(t, name, server)
			o.Server = &k
		}
		got, _ := Default().Expand(tt.Scopes, o)
		if diff := cmp.Diff(tt.Want, got.Sorted()); diff != "" {
			t.Errorf("Expand(%q, %s%s%s):\n%s", tt.Scopes, tt.User, tt.Service, tt.Server, diff)
		}
	}
}

func TestEffectiveIsJupyterHubs(t *testing.T) {
	hub := jupyterhub(t)
	groups := func(u ident.User) []string { return hub.Members[u.String()] }
	o := Owner{User: user(t, "alice")}
	for _, tt := range hub.Intersections {
		owner, _ := Default().Expand(tt.Owner, o)
		got := Default().Effective(tt.Token, o, owner, groups)
		if diff := cmp.Diff(tt.Want, got.Sorted()); diff != "" {
			t.Errorf("a token of %q whose owner has %q:\n%s", tt.Token, tt.Owner, diff)
		}
		excess := Default().Excess(tt.Token, o, owner, groups)
		all, _ := Default().Expand(tt.Token, o)
		for _, scope := range all.Sorted() {
			if slices.Contains(excess, scope) == slices.Contains(got.Sorted(), scope) {
				t.Errorf("a token of %q whose owner has %q: excess %q", tt.Token, tt.Owner, excess)
			}
		}
	}
}
