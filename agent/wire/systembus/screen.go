package systembus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/godbus/dbus/v5"
)

// Parts of a message's head (D-Bus specification, "Message Format").
const (
	headSize   = 16 // with the length of the header's fields
	typeAt     = 1
	bodyAt     = 4
	fieldsAt   = 12
	maxMessage = 128 << 20 // bytes, of the specification
	// maxSignal bounds a signal, in bytes. Those that are meant for us have a few hundred.
	maxSignal = 256 << 10
	// maxStrangers bounds the signals that others than the bus send to a connection directly. Nobody needs to; a few
	// pass, so that it can be said that there were some. What waits to be read has no bound in the library.
	maxStrangers = 64
)

// theBus is the bus's own name, which it gives to nobody else.
const theBus = "org.freedesktop.DBus"

// screen is a stream from a bus that has no message which the library cannot read. The library ends the connection at
// one, and the bus lets some pass: it counts what is in each other in another way. Any account may send such a signal
// to any connection.
type screen struct {
	net.Conn
	in        *bufio.Reader
	ready     []byte // yielded next
	strangers int    // signals that others have sent to this connection
}

func newScreen(conn net.Conn) *screen { return &screen{Conn: conn, in: bufio.NewReader(conn)} }

// Read reads what the bus says while it authenticates, in lines of capital letters, and then whole messages.
func (s *screen) Read(p []byte) (int, error) {
	for len(s.ready) == 0 {
		first, err := s.in.Peek(1)
		if err != nil {
			return 0, err
		}
		order := orderOf(first[0])
		if order == nil {
			return s.in.Read(p)
		}
		if s.ready, err = s.message(order); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// orderOf returns the byte order of a message by its first byte; nil if it is none's.
func orderOf(first byte) binary.ByteOrder {
	switch first {
	case 'l':
		return binary.LittleEndian
	case 'B':
		return binary.BigEndian
	}
	return nil
}

// message reads a message and returns it; nil for one that is not passed on.
func (s *screen) message(order binary.ByteOrder) ([]byte, error) {
	head, err := s.in.Peek(headSize)
	if err != nil {
		return nil, err
	}
	fields, body := int64(order.Uint32(head[fieldsAt:])), int64(order.Uint32(head[bodyAt:]))
	size := headSize + (fields+7)/8*8 + body
	if size > maxMessage {
		return nil, fmt.Errorf("the bus sends a message of %d bytes", size)
	}
	if dbus.Type(head[typeAt]) == dbus.TypeSignal && size > maxSignal {
		_, err := io.CopyN(io.Discard, s.in, size)
		return nil, err
	}
	var whole bytes.Buffer // grows with what comes, whatever the head announces
	if _, err := io.CopyN(&whole, s.in, size); err != nil {
		return nil, err
	}
	m, err := readable(whole.Bytes())
	if err != nil || s.tooMany(m) {
		return nil, nil
	}
	return whole.Bytes(), nil
}

// tooMany counts the signals that another than the bus has sent to this connection, which is not how a signal is
// announced to all who have subscribed to it, and reports whether one is beyond what passes.
func (s *screen) tooMany(m *dbus.Message) bool {
	_, direct := m.Headers[dbus.FieldDestination]
	if sender := m.Headers[dbus.FieldSender].Value(); m.Type != dbus.TypeSignal || !direct || sender == theBus {
		return false
	}
	s.strangers++
	return s.strangers > maxStrangers
}

// readable reads a message as the library does, or returns why it cannot.
func readable(message []byte) (m *dbus.Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("the library panics: %v", r)
		}
	}()
	rest := bytes.NewReader(message)
	if m, err = dbus.DecodeMessage(rest); err != nil {
		return nil, err
	}
	if rest.Len() > 0 {
		return nil, errors.New("the message is longer than it says")
	}
	return m, nil
}
