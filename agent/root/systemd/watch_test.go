package systemd

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/root/transient"
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

// TestReadChange reads signals of systemd.
func TestReadChange(t *testing.T) {
	text := func(s string) dbus.Variant { return dbus.MakeVariant(s) }
	since := dbus.MakeVariant(uint64(1700000000000001))
	tests := map[string]struct {
		changed map[string]dbus.Variant
		want    Change
		ok      bool
	}{
		"started": {map[string]dbus.Variant{"ActiveState": text("active"), "InactiveExitTimestamp": since},
			Change{"u", Active, time.UnixMicro(1700000000000001)}, true},
		"never started": {map[string]dbus.Variant{"ActiveState": text("inactive"),
			"InactiveExitTimestamp": dbus.MakeVariant(uint64(0))}, Change{Name: "u", State: Inactive}, true},
		"no time": {map[string]dbus.Variant{"ActiveState": text("failed")}, Change{Name: "u", State: Failed},
			true},
		"strange time": {map[string]dbus.Variant{"ActiveState": text("failed"), "InactiveExitTimestamp": text("x")},
			Change{Name: "u", State: Failed}, true},
		"another signal": {map[string]dbus.Variant{"MainPID": since}, Change{Name: "u"}, false},
		"strange state":  {map[string]dbus.Variant{"ActiveState": since}, Change{Name: "u"}, false},
	}
	for name, tt := range tests {
		got, ok := readChange(&systemd.PropertiesUpdate{UnitName: "u", Changed: tt.changed})
		if ok != tt.ok || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// countedLister answers List and counts its calls.
type countedLister struct {
	units []systemd.UnitStatus
	err   error
	calls int
}

func (l *countedLister) ListUnitsByPatternsContext(_ context.Context, _, patterns []string) ([]systemd.UnitStatus,
	error) {
	l.calls++
	if len(patterns) != 1 || patterns[0] != "jupyter-*.service" {
		return nil, fmt.Errorf("patterns are %v", patterns)
	}
	return l.units, l.err
}

// TestList checks that a list is one call, whatever its length.
func TestList(t *testing.T) {
	l := &countedLister{}
	for i := range 500 {
		l.units = append(l.units, systemd.UnitStatus{Name: fmt.Sprintf("jupyter-u%d.service", i), LoadState: "loaded",
			ActiveState: "active"})
	}
	l.units[1].JobId, l.units[1].ActiveState = 7, "inactive"
	l.units[2].LoadState = "not-found"
	got, err := list(t.Context(), l, "jupyter-*.service")
	if err != nil || len(got) != 499 || l.calls != 1 {
		t.Fatalf("%d units in %d calls, %v", len(got), l.calls, err)
	}
	if got[0] != (Status{"jupyter-u0.service", Active, false}) ||
		got[1] != (Status{"jupyter-u1.service", Inactive, true}) ||
		got[2].Name != "jupyter-u3.service" {
		t.Errorf("the first are %+v", got[:3])
	}
	l.err = errors.New("the bus is gone")
	if _, err := list(t.Context(), l, "jupyter-*.service"); !errors.Is(err, l.err) {
		t.Errorf("a list that fails: %v", err)
	}
}

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
			props := properties([]transient.Property{{Name: name, Value: tt.value}})
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
