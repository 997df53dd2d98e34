package gpu

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnsafe reads specifications with which rootless Podman would mount devices that were not lent.
func TestUnsafe(t *testing.T) {
	const head = "cdiVersion: 0.5.0\nkind: lab.example/gpu\ndevices:\n"
	device := func(name, node string) string {
		return "- name: \"" + name + "\"\n  containerEdits:\n    deviceNodes:\n    - " + node + "\n"
	}
	common := func(node string) string { return "containerEdits:\n  deviceNodes:\n  - " + node + "\n" }
	tests := map[string]struct{ text, want string }{
		"another path inside": {head + device("0", "{path: /dev/nvidia0, hostPath: /dev/nvidia1}"),
			"maps /dev/nvidia1 of the host to /dev/nvidia0"},
		"another path inside, common": {head + device("0", "{path: /dev/nvidia0}") +
			common("{path: /dev/ctl, hostPath: /dev/nvidia1}"), "maps /dev/nvidia1 of the host to /dev/ctl"},
		"another's node for all": {head + device("0", "{path: /dev/nvidia0}") +
			device("1", "{path: /dev/nvidia1}") + common("{path: /dev/nvidia1}"), `the node of its device "1"`},
		"the same path": {head + device("0", "{path: /dev/nvidia0, hostPath: /dev/nvidia0}"), ""},
		"a control node for all": {head + device("0", "{path: /dev/nvidiactl}") +
			device("1", "{path: /dev/nvidia1}") + common("{path: /dev/nvidiactl}"), ""},
		"its only device's": {head + device("0", "{path: /dev/nvidia0}") + common("{path: /dev/nvidia0}"),
			""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inv := Read(directory(t, map[string]string{"a.yaml": tt.text}))
			switch {
			case tt.want == "" && (len(inv.Broken) > 0 || len(inv.Devices) == 0):
				t.Errorf("it cannot be used: %+v", inv)
			case tt.want != "" && (len(inv.Broken) != 1 || len(inv.Devices) > 0 ||
				!strings.Contains(inv.Broken[0].Reason, tt.want)):
				t.Errorf("got %+v, want a broken specification: %s", inv, tt.want)
			}
		})
	}
}

func TestSpecs(t *testing.T) {
	dir := directory(t, map[string]string{"a.yaml": spec("nvidia.com/gpu", "1|/dev/nvidia1", "0|/dev/nvidia0"),
		"b.yaml": "nonsense", "c.txt": ""})
	want := []Spec{{filepath.Join(dir, "a.yaml"), "nvidia.com/gpu", "0.5.0",
		[]string{"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"}}}
	if diff := cmp.Diff(want, Read(dir).Specs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
