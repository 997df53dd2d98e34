package systembus

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const busConfig = `<busconfig><type>session</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow own="*"/><allow receive_sender="*"/></policy></busconfig>`

// bus runs a message bus for one test and returns its address.
func bus(t *testing.T) string {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Fatalf("there is no message bus to test with: %v\nhint: apt install dbus-daemon", err)
	}
	dir := t.TempDir()
	socket, config := filepath.Join(dir, "bus"), filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, []byte(strings.Replace(busConfig, "SOCKET", socket, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--config-file="+config, "--nofork", "--nopidfile")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 1000 { // the socket's file is there before the daemon listens
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "unix:path=" + socket
}

// stranger is a connection of any account's, which writes what the library would not.
type stranger struct {
	t *testing.T
	net.Conn
}

func newStranger(t *testing.T, address string) stranger {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix:path="))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := stranger{t, conn}
	library, err := dbus.NewConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := library.Auth(nil); err != nil {
		t.Fatal(err)
	}
	if err := library.Hello(); err != nil {
		t.Fatal(err)
	}
	return s
}

// signal sends a signal with a body of that signature, byte for byte; to "" it goes to all who have subscribed.
func (s stranger) signal(to, signature string, body []byte) {
	s.t.Helper()
	m := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/x")), dbus.FieldInterface: dbus.MakeVariant("x.y"),
		dbus.FieldMember:    dbus.MakeVariant("Z"),
		dbus.FieldSignature: dbus.MakeVariant(dbus.ParseSignatureMust(signature))}}
	if to != "" {
		m.Headers[dbus.FieldDestination] = dbus.MakeVariant(to)
	}
	var head bytes.Buffer
	if err := m.EncodeTo(&head, binary.LittleEndian); err != nil {
		s.t.Fatal(err)
	}
	raw := append(head.Bytes(), body...)
	binary.LittleEndian.PutUint32(raw[4:], uint32(len(body)))
	binary.LittleEndian.PutUint32(raw[8:], 77)
	if _, err := s.Write(raw); err != nil {
		s.t.Fatal(err)
	}
}

// nested is as many variants in each other, with an empty list in the last.
func nested(n int) []byte {
	var b []byte
	for range n - 1 {
		b = append(b, 1, 'v', 0)
	}
	b = append(b, 2, 'a', 'y', 0)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return append(b, 0, 0, 0, 0)
}

// TestStrangers sends what any account can send to a connection. The bus lets 64 variants in each other pass, and the
// library, which counts the empty list too, ends the connection there.
func TestStrangers(t *testing.T) {
	address := bus(t)
	conn, err := Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 10)
	conn.Signal(signals)
	s := newStranger(t, address)
	s.signal(conn.Names()[0], "v", nested(64))
	long := binary.LittleEndian.AppendUint32(nil, maxSignal)
	s.signal(conn.Names()[0], "ay", append(long, make([]byte, maxSignal)...))
	s.signal(conn.Names()[0], "v", nested(1))
	for got := range signals {
		if got.Name == "x.y.Z" {
			if value, ok := got.Body[0].(dbus.Variant); !ok || value.Signature().String() != "ay" {
				t.Errorf("passed on: %v", got.Body)
			}
			break
		}
	}
	var id string
	if err := conn.BusObject().Call("org.freedesktop.DBus.GetId", 0).Store(&id); err != nil {
		t.Errorf("after a stranger's signals: %v", err)
	}
}

// TestFlood sends more signals to a connection than anybody needs. What is for all who have subscribed comes through.
func TestFlood(t *testing.T) {
	address := bus(t)
	conn, err := Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.AddMatchSignal(dbus.WithMatchInterface("x.y")); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 10*maxStrangers)
	conn.Signal(signals)
	s := newStranger(t, address)
	for range 5 * maxStrangers {
		s.signal(conn.Names()[0], "y", []byte{0})
	}
	const forAll = 2 * maxStrangers
	for range forAll {
		s.signal("", "y", []byte{1})
	}
	direct, announced := 0, 0
	for got := range signals {
		if got.Name != "x.y.Z" {
			continue
		} else if got.Body[0] == byte(0) {
			direct++
		} else if announced++; announced == forAll {
			break
		}
	}
	if direct != maxStrangers {
		t.Errorf("%d of a stranger's signals came through", direct)
	}
}

// TestScreenEnds checks that nothing is passed on of a message which never ends, cannot be read or is too long to be
// one, and that the last is an error.
func TestScreenEnds(t *testing.T) {
	head := func(kind byte, fields, body uint32) []byte {
		b := []byte{'B', kind, 0, 1}
		for _, n := range []uint32{body, 7, fields} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	long := map[string]bool{"too long": true, "overflow": true}
	for name, sent := range map[string][]byte{"head": head(4, 0, 0)[:9], "body": head(2, 8, 1<<20),
		"signal": head(4, 8, maxSignal), "too long": head(2, 1<<26, 1<<27), "overflow": head(2, 1<<32-1, 1<<32-1),
		"unreadable": append(head(2, 1, 0), 0, 0, 0, 0, 0, 0, 0, 0)} {
		far, near := net.Pipe()
		go func() {
			_, _ = far.Write(sent)
			_ = far.Close()
		}()
		if got, err := io.ReadAll(newScreen(near)); len(got) > 0 || long[name] != (err != nil) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_ = near.Close()
	}
}

// FuzzReadable checks that no message makes the screen panic.
func FuzzReadable(f *testing.F) {
	var m bytes.Buffer
	body := map[string]uint32{"a": 1}
	ping := &dbus.Message{Type: dbus.TypeSignal, Body: []any{body}, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/x")), dbus.FieldInterface: dbus.MakeVariant("x.y"),
		dbus.FieldMember: dbus.MakeVariant("Z"), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body))}}
	if err := ping.EncodeTo(&m, binary.LittleEndian); err != nil {
		f.Fatal(err)
	}
	if _, err := readable(m.Bytes()); err != nil {
		f.Fatal(err)
	}
	f.Add(m.Bytes())
	f.Fuzz(func(_ *testing.T, message []byte) { _, _ = readable(message) })
}
