package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `package p

import "errors"

type T[K any] struct{}

func (t *T[K]) May(a, b int, ok bool) (int, error) {
	if a < b && !ok {
		return 0, errors.New("no")
	}
	f := func() bool { return a == b }
	_ = f()
	return other()
}

func other() (int, error) { return 1, nil }
`

func TestSites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	sites, err := sitesOf(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sites {
		got = append(got, s.key("p"))
	}
	want := []string{
		"p T.May: a < b && !ok -> a < b || !ok", "p T.May: a < b -> a >= b", "p T.May: a < b -> a <= b",
		"p T.May: !ok -> ok", `p T.May: errors.New("no") -> nil`, "p T.May: a == b -> a != b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestChooseIsSeeded checks that the same seed makes the same choice and another seed another one.
func TestChooseIsSeeded(t *testing.T) {
	t.Chdir("../..")
	keys := func(seed uint64) (all []string) {
		sites, err := choose("test/mutants", options{n: 10, seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sites {
			all = append(all, s.key(""))
		}
		return all
	}
	if diff := cmp.Diff(keys(1), keys(1)); diff != "" || len(keys(1)) != 10 {
		t.Errorf("the same seed makes two choices of %d:\n%s", len(keys(1)), diff)
	}
	if cmp.Equal(keys(1), keys(2)) {
		t.Error("two seeds make the same choice")
	}
}

func TestAccepted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "survivors.txt")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# why\np T.May: a -> b\n\n# another\nx\n")
	got, err := readAccepted(path)
	if err != nil || !got["p T.May: a -> b"] || !got["x"] || len(got) != 2 {
		t.Errorf("accepted %v, %v", got, err)
	}
	write("# why\nx\n\ny\n")
	if _, err := readAccepted(path); err == nil || !strings.Contains(err.Error(), `"y"`) {
		t.Errorf("a survivor without a reason: %v", err)
	}
	if _, err := readAccepted(path + "x"); err == nil {
		t.Error("a missing file is no error")
	}
}
