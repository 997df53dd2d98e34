package systemd

import (
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/root/unit"
)

// TestStates checks which of the states that systemd sends are news.
func TestStates(t *testing.T) {
	tests := map[string]struct{ sent, news []State }{
		"start and stop": {
			[]State{Inactive, Activating, Activating, Active, Active, Deactivating, Inactive, Inactive},
			[]State{Activating, Active, Deactivating, Inactive}},
		"failure and reset": {
			[]State{Inactive, Activating, Failed, Failed, Inactive},
			[]State{Activating, Failed}},
		"again after a failure": {
			[]State{Failed, Inactive, Activating, Failed},
			[]State{Failed, Activating, Failed}},
		"never started": {[]State{Inactive, Inactive}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			seen := states{}
			var news []State
			for _, s := range tt.sent {
				if seen.change("jupyter-a.service", s) {
					news = append(news, s)
				}
			}
			if diff := cmp.Diff(tt.news, news); diff != "" {
				t.Error(diff)
			}
			if last := tt.sent[len(tt.sent)-1]; last == Inactive && len(seen) != 0 {
				t.Errorf("an ended unit is remembered: %v", seen)
			}
		})
	}
}

// TestSignatures checks the D-Bus types of the properties against systemd's own.
func TestSignatures(t *testing.T) {
	tests := map[string]struct {
		value any
		want  string
	}{
		"Exec":              {[]unit.Command{{Path: "/x", Args: []string{"/x"}}}, "a(sasb)"},
		"EnvironmentFiles":  {[]unit.EnvironmentFile{{Path: "/x", Optional: true}}, "a(sb)"},
		"LoadCredential":    {[]unit.Credential{{Name: "env", Path: "/x"}}, "a(ss)"},
		"SuccessExitStatus": {unit.ExitStatuses{Codes: []int32{143}, Signals: []int32{}}, "(aiai)"},
		"Environment":       {[]string{"A=b"}, "as"},
		"MemoryMax":         {uint64(1), "t"},
		"UMask":             {uint32(1), "u"},
		"Delegate":          {true, "b"},
		"User":              {"x", "s"},
		"Nice":              {int32(19), "i"},
		"ReadWritePaths":    {[]string{"/x"}, "as"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			props := properties([]unit.Property{{Name: name, Value: tt.value}})
			if got := props[0].Value.Signature().String(); got != tt.want {
				t.Errorf("signature %s, want %s", got, tt.want)
			}
		})
	}
}

func TestExitOf(t *testing.T) {
	entry := []any{"/x", []string{"/x"}, false, uint64(0), uint64(0), uint64(0), uint64(0), uint32(7), int32(1),
		int32(71)}
	tests := map[string]struct {
		property any
		want     int32
	}{
		"failed":  {[][]any{entry}, 71},
		"none":    {[][]any{}, 0},
		"absent":  {nil, 0},
		"strange": {[][]any{entry[:3]}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := exitOf(tt.property); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	// The form in which the bus library gives a(sasbttttuii).
	if _, ok := dbus.MakeVariantWithSignature([][]any{entry},
		dbus.ParseSignatureMust("a(sasbttttuii)")).Value().([][]any); !ok {
		t.Error("the bus library gives another form")
	}
}
