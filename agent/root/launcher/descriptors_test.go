package launcher

import (
	"os"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/wire/systembus"
)

// TestDescriptors has another account send file descriptors, which the library would keep open, until there are none
// left. The bus passes on only the signal without one.
func TestDescriptors(t *testing.T) {
	address := privateAddress(t)
	hostile, err := dbus.Connect(address, dbus.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer hostile.Close()
	ours, err := systembus.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	signals := make(chan *dbus.Signal, 10)
	ours.Signal(signals)
	for _, body := range []any{dbus.UnixFD(os.Stdin.Fd()), "x"} {
		message := &dbus.Message{Type: dbus.TypeSignal, Body: []any{body}, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/x")), dbus.FieldInterface: dbus.MakeVariant("x.y"),
			dbus.FieldMember: dbus.MakeVariant("Z"), dbus.FieldDestination: dbus.MakeVariant(ours.Names()[0]),
			dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body))}}
		hostile.Send(message, nil)
	}
	for end := time.After(10 * time.Second); ; {
		select {
		case s := <-signals:
			if s.Name == "x.y.Z" && s.Body[0] != "x" {
				t.Fatalf("a descriptor has come: %v", s.Body)
			} else if s.Name == "x.y.Z" {
				return
			}
		case <-end:
			t.Fatal("no signal has come")
		}
	}
}
