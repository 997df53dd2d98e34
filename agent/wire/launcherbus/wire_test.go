package launcherbus

import (
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func key(t *testing.T, user, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestRows checks that what crosses the bus comes back, with the documented signatures.
func TestRows(t *testing.T) {
	s := Server{key(t, "alice", "gpu"), "lab", Running, 5001, "/run/x", time.UnixMicro(1700000000000001), "00ff",
		[]string{"nvidia.com/gpu=0"}}
	got, err := s.Row().server()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got, cmpopts.EquateComparable(ident.Key{})); diff != "" {
		t.Error(diff)
	}
	if sig := dbus.SignatureOf([]ServerRow{}).String(); sig != "a(ssssustsas)" {
		t.Errorf("List has signature %s", sig)
	}
	if sig := dbus.SignatureOf([]Profile{}).String(); sig != "a(ssssbi)" {
		t.Errorf("Profiles has signature %s", sig)
	}
	if sig := dbus.SignatureOf([]PublicPaths{}).String(); sig != "a(sas)" {
		t.Errorf("Public has signature %s", sig)
	}
	if sig := dbus.SignatureOf([]PersistentRow{}).String(); sig != "a(sssb)" {
		t.Errorf("Persistent has signature %s", sig)
	}
	k := PersistentContainer{key(t, "alice", "gpu"), "lab", true}
	if got, err := k.Row().container(); err != nil || got != k {
		t.Errorf("a persistent container comes back as %v, %v", got, err)
	}
	if _, err := (PersistentRow{User: "../x"}).container(); err == nil {
		t.Error("a hostile name of a persistent container is accepted")
	}
	u := DiskUse{true, time.Unix(1700000000, 0), Tree{1, 2, 3}, Tree{4, 5, 6}, "/cluster/alice"}
	if back, err := u.Row().diskUse(); err != nil || back != u {
		t.Errorf("the disk use came back as %+v, %v", back, err)
	}
	if back, err := (DiskUse{}).Row().diskUse(); err != nil || back != (DiskUse{}) {
		t.Errorf("what was never measured came back as %+v, %v", back, err)
	}
	if sig := dbus.SignatureOf(DiskUseRow{}).String(); sig != "(bx(xxx)(xxx)s)" {
		t.Errorf("DiskUse has signature %s", sig)
	}
	if _, err := (ServerRow{User: "../x"}).server(); err == nil {
		t.Error("a hostile name is accepted")
	}
	if _, err := (Server{Key: s.Key}).Row().server(); err != nil {
		t.Errorf("a server without a start time: %v", err)
	}
}

func TestEvent(t *testing.T) {
	want := Event{Server{key(t, "bob", ""), "lab", Failed, 5001, "/run/x", time.UnixMicro(1700000000000001), "00ff",
		[]string{"nvidia.com/gpu=0"}}, "exit-code", 137}
	row := []any{"bob", "", "lab", "failed", uint32(5001), "/run/x", uint64(1700000000000001), "00ff",
		[]string{"nvidia.com/gpu=0"}} // a struct as the bus library reads it
	for name, body := range map[string][]any{"sent": want.Body(), "received": {row, "exit-code", int32(137)}} {
		got, err := readEvent(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(ident.Key{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if sig := dbus.SignatureOf(want.Body()...).String(); sig != "(ssssustsas)si" {
		t.Errorf("ServerChanged has signature %s", sig)
	}
	for name, body := range map[string][]any{
		"empty": {}, "types": {1, 2, 3}, "name": {ServerRow{User: "a/b"}, "", int32(0)},
		"server": {ServerRow{User: "a", Server: "../b"}, "", int32(0)}, "short": {ServerRow{User: "a"}, ""},
		"short row": {row[:3], "", int32(0)}, "long": {row, "", int32(0), "x"},
		"old": {"a", "", "failed", "", int32(0)},
	} {
		if _, err := readEvent(body); err == nil {
			t.Errorf("%s: a strange signal is accepted", name)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, e := range []*Error{{NoAccount, "there is no Unix account \"x\"", "y"}, {Refused, "no", ""}} {
		var back *Error
		err := fromBus(*e.DBus())
		if !errors.As(err, &back) || *back != *e || err.Error() != e.Message || hint.Of(err) != e.Hint {
			t.Errorf("the error came back as %#v", err)
		}
	}
	if text := (&Error{Message: "no"}).WithHint("ask %s", "x").DBus().Error(); text != "no\nhint: ask x" {
		t.Errorf("busctl shows %q", text)
	}
	other := dbus.Error{Name: "org.freedesktop.DBus.Error.ServiceUnknown", Body: []any{"x"}}
	if err := fromBus(other); err == nil || errors.As(err, new(*Error)) {
		t.Errorf("another error came back as %v", err)
	}
	plain := errors.New("context ended")
	if err := fromBus(plain); !errors.Is(err, plain) {
		t.Errorf("a plain error came back as %v", err)
	}
}

// TestGPUs checks that the devices have the documented signature, and that a holder comes back from the bus.
func TestGPUs(t *testing.T) {
	if sig := dbus.SignatureOf(GPUs{}).String(); sig != "(a(ssstsua(ssstu)(bdt)(bdt)(bdt)asa(uusst))a(ss)ts)" {
		t.Errorf("GPUs has signature %s", sig)
	}
	alice, since := key(t, "alice", "x"), time.UnixMicro(1700000000000002)
	h := NewHolder(alice, "lab", since, 3)
	if h.Key() != alice || !h.Time().Equal(since) || h.Profile != "lab" || h.Processes != 3 {
		t.Errorf("the holder is %+v", h)
	}
	good := GPUs{Devices: []GPU{{Holders: []Holder{h}}}}
	good.MeasuredAt(since)
	if got, err := good.check(); err != nil || len(got.Devices) != 1 || !got.Time().Equal(since) {
		t.Errorf("%+v, %v", got, err)
	}
	if !(GPUs{}).Time().IsZero() {
		t.Error("what was never measured has a time")
	}
	for _, hostile := range []Holder{{User: "../x"}, {User: "alice", Server: "../x"}, {}} {
		bad := GPUs{Devices: []GPU{{Holders: []Holder{h, hostile}}}}
		if got, err := bad.check(); err == nil || len(got.Devices) > 0 || hostile.Key() != (ident.Key{}) {
			t.Errorf("a hostile name of a holder is accepted: %+v, %+v", hostile, got)
		}
	}
}
