package launcherbus

import (
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
	s := Server{key(t, "alice", "gpu"), "lab", Running, 5001, "/run/x", time.UnixMicro(1700000000000001), "00ff"}
	got, err := s.Row().server()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got, cmpopts.EquateComparable(ident.Key{})); diff != "" {
		t.Error(diff)
	}
	if sig := dbus.SignatureOf([]ServerRow{}).String(); sig != "a(ssssusts)" {
		t.Errorf("List has signature %s", sig)
	}
	if sig := dbus.SignatureOf([]ProfileRow{}).String(); sig != "a(ssssb)" {
		t.Errorf("Profiles has signature %s", sig)
	}
	if sig := dbus.SignatureOf([]KeptRow{}).String(); sig != "a(sssb)" {
		t.Errorf("Kept has signature %s", sig)
	}
	k := Kept{key(t, "alice", "gpu"), "lab", true}
	if got, err := k.Row().kept(); err != nil || got != k {
		t.Errorf("a kept container comes back as %v, %v", got, err)
	}
	if _, err := (KeptRow{User: "../x"}).kept(); err == nil {
		t.Error("a hostile name of a kept container is accepted")
	}
	u := Usage{true, time.Unix(1700000000, 0), Tree{1, 2, 3}, Tree{4, 5, 6}, "/cluster/alice"}
	if back := u.Row().usage(); back != u {
		t.Errorf("the usage came back as %+v", back)
	}
	if back := (Usage{}).Row().usage(); back != (Usage{}) {
		t.Errorf("what was never measured came back as %+v", back)
	}
	if sig := dbus.SignatureOf(UsageRow{}).String(); sig != "(bx(xxx)(xxx)s)" {
		t.Errorf("Usage has signature %s", sig)
	}
	if _, err := (ServerRow{User: "../x"}).server(); err == nil {
		t.Error("a hostile name is accepted")
	}
	if _, err := (Server{Key: s.Key}).Row().server(); err != nil {
		t.Errorf("a server without a start time: %v", err)
	}
}

func TestEvent(t *testing.T) {
	want := Event{key(t, "bob", ""), Failed, "exit-code", 137}
	got, err := readEvent(want.Body())
	if err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	if sig := dbus.SignatureOf(want.Body()...).String(); sig != "ssssi" {
		t.Errorf("Changed has signature %s", sig)
	}
	for name, body := range map[string][]any{
		"empty": {}, "types": {1, 2, 3, 4, 5}, "name": {"a/b", "", "failed", "", int32(0)}, "short": {"a", "", "failed"},
	} {
		if _, err := readEvent(body); err == nil {
			t.Errorf("%s: a strange signal is accepted", name)
		}
	}
}

func TestErrors(t *testing.T) {
	e := &Error{NoAccount, "there is no Unix account \"x\"\nhint: y"}
	var back *Error
	if err := fromBus(*e.DBus()); !errors.As(err, &back) || *back != *e {
		t.Errorf("the error came back as %v", err)
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
