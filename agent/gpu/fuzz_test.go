package gpu

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzRead checks that no specification crashes the reader, which is part of the launcher, and that no two devices to
// lend are names of the same hardware.
func FuzzRead(f *testing.F) {
	for _, file := range []string{"testdata/amd-ctk.json", "testdata/nvidia-ctk.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(spec("nvidia.com/gpu", "all|/dev/nvidia0 /dev/nvidia1", "0|/dev/nvidia0",
		"0:0|/dev/nvidia0 /dev/nvidia-caps/nvidia-cap3")))
	f.Add([]byte(`{"cdiVersion":"0.5.0","kind":"a.com/bee","devices":[null]}`))
	f.Add([]byte(spec("a/b", "0|/dev/x")))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		for _, name := range []string{"a.yaml", "b.json"} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		one := t.TempDir()
		if err := os.WriteFile(filepath.Join(one, "a.yaml"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		if inv := Read(dir); len(inv.Broken) == 0 && len(inv.Devices) > 0 {
			t.Errorf("the same twice is not broken: %+v", inv)
		}
		inv := Read(one)
		for i, d := range inv.Devices {
			if !strings.HasPrefix(d.Name, d.Kind+"=") || !slices.IsSorted(d.Nodes) {
				t.Errorf("device %+v", d)
			}
			for _, e := range inv.Devices[i+1:] {
				if d.Name == e.Name || len(d.Nodes) > 0 && slices.Equal(d.Nodes, e.Nodes) {
					t.Errorf("the same hardware twice: %+v, %+v", d, e)
				}
			}
		}
		for _, b := range inv.Broken {
			if !fit(b.File) || !fit(b.Reason) {
				t.Errorf("broken: %+v", b)
			}
		}
	})
}
