package contract

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestMetadata checks that what a unit says is read back, and that other units are none of ours.
func TestMetadata(t *testing.T) {
	key, err := ident.ParseKey("alice", "gpu-2")
	if err != nil {
		t.Fatal(err)
	}
	plain := Metadata{Key: key, Profile: "lab", TokenHash: "00ff", UID: 5001, Container: "jupyter-alice--gpu-2"}
	with := func(devices ...Device) Metadata { m := plain; m.Devices = devices; return m }
	tests := map[string]struct{ in, want Metadata }{
		"plain": {plain, plain},
		"devices": {with(Device{"a.b/c=0", []string{"/dev/a", "/dev/b"}}, Device{"a.b/c=1", []string{"/dev/c"}}),
			with(Device{"a.b/c=0", []string{"/dev/a", "/dev/b"}}, Device{"a.b/c=1", []string{"/dev/c"}})},
		"no nodes": {with(Device{"a.b/c=0", nil}), with(Device{"a.b/c=0", nil})},
		"strange nodes": {with(Device{"a.b/c=0", []string{"/dev/a b", "/x,y", "", "/z"}}),
			with(Device{"a.b/c=0", []string{"/z"}})},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := ReadMetadata("jupyter-alice:gpu-2.service", tt.in.Environment())
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(ident.User{}, ident.Server{})); !ok || diff != "" {
				t.Errorf("%v (-want +got):\n%s", ok, diff)
			}
		})
	}
	for name, env := range map[string][]string{
		"jupyter-hub.service":   {"PATH=/bin"},
		"jupyter-alice.service": nil,
		"jupyter-bob.service":   {"GIFFORD_PROFILE=x", "GIFFORD_UID=-1"},
		"jupyter-carol.service": {"GIFFORD_PROFILE=", "GIFFORD_UID=5001"},
		"ssh.service":           plain.Environment(),
	} {
		if _, ok := ReadMetadata(name, env); ok {
			t.Errorf("%s is taken for a server of ours", name)
		}
	}
}
