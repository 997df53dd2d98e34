package memberpodman

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	// maxAnswer bounds all answers on one connection but a command's output, in bytes. Podman's take a few thousand.
	maxAnswer = 1 << 20

	// maxFrame bounds one frame of a command's output. Podman's have 32 KiB at most; the bindings reserve memory for
	// whatever length a frame announces.
	maxFrame = 1 << 20
)

var errTooMuch = errors.New("the member's podman sends more than any answer has")

// guarded is a connection to a member's Podman of which a bounded part is ever in memory. The output of a command has
// no bound, since it goes straight to its reader.
type guarded struct {
	*net.UnixConn
	in      *bufio.Reader
	framed  bool
	request sync.Once
	stream  atomic.Bool // the request starts a command
	head    []byte      // of the answer, still to be read
	body    io.Reader
}

func guard(c *net.UnixConn, framed bool) *guarded {
	return &guarded{UnixConn: c, in: bufio.NewReader(c), framed: framed}
}

// Write notes by its first line what the request is about.
func (g *guarded) Write(p []byte) (int, error) {
	g.request.Do(func() {
		line, _, _ := bytes.Cut(p, []byte("\r\n"))
		g.stream.Store(bytes.HasPrefix(line, []byte("POST ")) && bytes.HasSuffix(line, []byte("/start HTTP/1.1")))
	})
	return g.UnixConn.Write(p)
}

// Read never returns the end of the answer's head and what follows it at once: the bindings read a command's output
// past the HTTP client, which must not have taken any of it.
func (g *guarded) Read(p []byte) (int, error) {
	if g.body == nil {
		if err := g.begin(); err != nil {
			return 0, err
		}
	}
	if len(g.head) > 0 {
		n := copy(p, g.head)
		g.head = g.head[n:]
		return n, nil
	}
	return g.body.Read(p)
}

// begin reads the head of the first answer and decides what follows.
func (g *guarded) begin() error {
	// The HTTP client reads before it writes. What comes before there is a request counts as no command's output.
	if _, err := g.in.Peek(1); err != nil {
		return err
	}
	limited := &limit{g.in, maxAnswer}
	if !g.stream.Load() {
		g.body = limited
		return nil
	}
	for !bytes.HasSuffix(g.head, []byte("\r\n\r\n")) {
		var b [1]byte
		if _, err := limited.Read(b[:]); err != nil {
			return err
		}
		g.head = append(g.head, b[0])
	}
	switch {
	case !bytes.HasPrefix(g.head, []byte("HTTP/1.1 1")) && !bytes.HasPrefix(g.head, []byte("HTTP/1.1 2")):
		g.body = limited // a refusal, in JSON
	case g.framed:
		g.body = &frames{in: g.in}
	default:
		g.body = g.in
	}
	return nil
}

// limit is an io.LimitReader whose end is an error.
type limit struct {
	in   io.Reader
	left int
}

func (l *limit) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, errTooMuch
	}
	n, err := l.in.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// frames passes on a command's output as it is: a head of eight bytes, the last four of them the length of what
// follows, again and again. It refuses a length that is none.
type frames struct {
	in   io.Reader
	head []byte // still to be read
	left int    // of the frame's content
}

func (f *frames) Read(p []byte) (n int, err error) {
	if len(f.head) == 0 && f.left == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	if len(f.head) > 0 {
		n = copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	n, err = f.in.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

func (f *frames) next() error {
	head := make([]byte, 8)
	if _, err := io.ReadFull(f.in, head); err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(head[4:])
	if length > maxFrame {
		return fmt.Errorf("the member's podman announces %d bytes at once", length)
	}
	f.head, f.left = head, int(length)
	return nil
}
