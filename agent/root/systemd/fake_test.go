package systemd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// pid1 is a systemd at the other end of a pipe: it answers calls as a test says and sends signals.
type pid1 struct {
	t *testing.T

	mu      sync.Mutex
	far     net.Conn // of the connection that is open
	serial  uint32
	answers map[string]func(args []any) []any // by method; one that is not here is unknown
	called  []string
	away    bool // takes no connection
}

func newPID1(t *testing.T) *pid1 { return &pid1{t: t, answers: map[string]func([]any) []any{}} }

func (p *pid1) dial(ctx context.Context) (*dbus.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return nil, errors.New("systemd is away")
	}
	near, far := net.Pipe()
	conn, err := dbus.NewConn(near, dbus.WithContext(ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		return nil, err
	}
	p.far = far
	ready := make(chan bool)
	go p.serve(far, ready)
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil {
		return nil, err
	}
	<-ready
	return conn, nil
}

// serve answers one connection until it ends, which may be at once: a client that is closed ends its attempts to
// connect again.
func (p *pid1) serve(far net.Conn, ready chan<- bool) {
	in := bufio.NewReader(far)
	err := authenticate(in, far)
	close(ready)
	for err == nil {
		var call *dbus.Message
		if call, err = dbus.DecodeMessage(in); err != nil {
			return
		}
		member, _ := call.Headers[dbus.FieldMember].Value().(string)
		p.mu.Lock()
		p.called = append(p.called, member)
		answer := p.answers[member]
		p.mu.Unlock()
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial())}}
		if answer == nil {
			reply.Type = dbus.TypeError
			reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant(busName + ".NoSuchUnit")
		} else if reply.Body = answer(call.Body); reply.Body == nil {
			continue // no answer
		}
		p.send(reply)
	}
}

// authenticate is systemd's part of the handshake (D-Bus Specification, "Authentication Protocol").
func authenticate(in *bufio.Reader, out io.Writer) error {
	for _, answer := range []string{"REJECTED EXTERNAL\r\n", "OK 0123\r\n"} {
		if _, err := in.ReadString('\n'); err != nil {
			return err
		}
		if _, err := io.WriteString(out, answer); err != nil {
			return err
		}
	}
	_, err := in.ReadString('\n') // BEGIN
	return err
}

// send is one message of systemd; it is read by who is connected now, if anybody.
func (p *pid1) send(m *dbus.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serial++
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var text strings.Builder
	if err := m.EncodeTo(&text, binary.LittleEndian); err != nil {
		p.t.Error(err)
	}
	raw := []byte(text.String())
	binary.LittleEndian.PutUint32(raw[8:], p.serial)
	_, _ = p.far.Write(raw)
}

func (p *pid1) signal(path dbus.ObjectPath, iface, member string, body ...any) {
	p.send(&dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(path), dbus.FieldInterface: dbus.MakeVariant(iface),
		dbus.FieldMember: dbus.MakeVariant(member)}})
}

func (p *pid1) changed(unit string, s State) {
	p.signal(unitPath(unit), properties, "PropertiesChanged", unitInterface,
		map[string]dbus.Variant{"ActiveState": dbus.MakeVariant(string(s))}, []string{})
}

func (p *pid1) removed(job, unit, result string) {
	p.signal(managerPath, managerInterface, "JobRemoved", uint32(7), jobPath(job), unit, result)
}

// jobOf is a unit's property Job, D-Bus type (uo).
type jobOf struct {
	Number uint32
	Path   dbus.ObjectPath
}

func jobPath(job string) dbus.ObjectPath { return managerPath + "/job/" + dbus.ObjectPath(job) }

// answer sets what a method returns; nil is no answer at all.
func (p *pid1) answer(method string, answer func(args []any) []any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[method] = answer
}

// unit sets what systemd says of every unit.
func (p *pid1) unit(props map[string]any) {
	v := map[string]dbus.Variant{}
	for name, value := range props {
		v[name] = dbus.MakeVariant(value)
	}
	p.answer("GetAll", func([]any) []any { return []any{v} })
}

// units sets systemd's list.
func (p *pid1) units(all ...listed) {
	for i := range all {
		all[i].Path, all[i].JobPath = "/", "/"
	}
	p.answer("ListUnitsByPatterns", func([]any) []any { return []any{all} })
}

// again ends the connection, as systemd does that executes itself again. away says that it does not come back.
func (p *pid1) again(away bool) {
	p.mu.Lock()
	p.away = away
	far := p.far
	p.mu.Unlock()
	_ = far.Close()
}

// connected returns a connection to a systemd of the test's.
func connected(t *testing.T) (*Conn, *pid1) {
	t.Helper()
	p := newPID1(t)
	bus, err := newPID1(t).dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := connect(t.Context(), bus, p.dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, p
}
