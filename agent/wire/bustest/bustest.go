// Package bustest makes bodies of D-Bus messages of arbitrary bytes, for fuzz tests of what reads them. It must never
// be linked into a program.
package bustest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/godbus/dbus/v5"
)

// lengthAt is where a message says how long its body is, dbus-specification.html, "Message Format".
const lengthAt = 4

// Encode returns a body's signature and its bytes, as Decode takes them.
func Encode(t testing.TB, body ...any) (signature string, raw []byte) {
	t.Helper()
	s := dbus.SignatureOf(body...)
	var whole bytes.Buffer
	if err := message(s, body).EncodeTo(&whole, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	length := binary.LittleEndian.Uint32(whole.Bytes()[lengthAt:])
	return s.String(), whole.Bytes()[whole.Len()-int(length):]
}

// Decode returns the body that the bus library reads of these bytes, and whether they are one.
func Decode(signature string, raw []byte) ([]any, bool) {
	s, err := dbus.ParseSignature(signature)
	if err != nil {
		return nil, false
	}
	var whole bytes.Buffer
	if message(s, nil).EncodeTo(&whole, binary.LittleEndian) != nil {
		return nil, false
	}
	binary.LittleEndian.PutUint32(whole.Bytes()[lengthAt:], uint32(len(raw)))
	whole.Write(raw)
	m, err := dbus.DecodeMessage(&whole)
	if err != nil {
		return nil, false
	}
	return m.Body, true
}

func message(s dbus.Signature, body []any) *dbus.Message {
	return &dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/x")),
		dbus.FieldInterface: dbus.MakeVariant("x.y"), dbus.FieldMember: dbus.MakeVariant("Z"),
		dbus.FieldSignature: dbus.MakeVariant(s)}}
}
