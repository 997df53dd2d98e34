package systemd

import (
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/root/transient"
)

// TestSignatures checks the D-Bus types of the properties against systemd's own.
func TestSignatures(t *testing.T) {
	tests := map[string]struct {
		value any
		want  string
	}{
		"Exec":              {[]transient.Command{{Path: "/x", Args: []string{"/x"}}}, "a(sasb)"},
		"EnvironmentFiles":  {[]transient.EnvironmentFile{{Path: "/x", Optional: true}}, "a(sb)"},
		"LoadCredential":    {[]transient.Credential{{Name: "env", Path: "/x"}}, "a(ss)"},
		"SuccessExitStatus": {transient.ExitStatuses{Codes: []int32{143}, Signals: []int32{}}, "(aiai)"},
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
			props := wireProperties([]transient.Property{{Name: name, Value: tt.value}})
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
