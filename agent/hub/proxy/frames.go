package proxy

import (
	"encoding/binary"
	"net/http"
	"strings"
)

// frames reads the headers of the frames that a client sends over a WebSocket (RFC 6455, 5.2), to distinguish messages
// from pings, pongs and closes. A browser answers pings by itself, so traffic that only keeps a connection open is no
// activity.
type frames struct {
	header [14]byte // the longest: 2, 8 for the length, 4 for the mask
	have   int      // bytes of the header that were read
	skip   uint64   // bytes of the payload that follow
}

// message takes the next bytes and reports whether any belong to a message.
func (f *frames) message(b []byte) (found bool) {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, uint64(len(b)))
			f.skip -= n
			b = b[n:]
			found = found || !f.control()
			continue
		}
		if f.have == f.need() { // the header of the frame before
			f.have = 0
		}
		n := copy(f.header[f.have:f.need()], b)
		f.have, b = f.have+n, b[n:]
		if f.have == f.need() {
			f.skip = f.length()
			found = found || !f.control()
		}
	}
	return found
}

// control reports whether the frame is a close, ping or pong (5.5: opcodes from 8 on).
func (f *frames) control() bool { return f.header[0]&0x08 != 0 }

// need returns the length of the header, as far as its first bytes determine it.
func (f *frames) need() int {
	if f.have < 2 {
		return 2
	}
	need := 2
	switch f.header[1] & 0x7f {
	case 126:
		need += 2
	case 127:
		need += 8
	}
	if f.header[1]&0x80 != 0 {
		need += 4
	}
	return need
}

// length returns the payload's length from a whole header.
func (f *frames) length() uint64 {
	switch n := f.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.header[2:])
	default:
		return uint64(n)
	}
}

// isWebSocket reports whether an upgrade is to WebSockets. Every byte of other protocols is activity.
func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// poll reports whether an open JupyterLab makes the request by itself. Every few seconds it requests the lists of
// kernels, sessions and terminals, the directory that it shows, and the free memory. All of these read below a server's
// api/.
func poll(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return strings.Contains(r.URL.Path, "/api/") || r.URL.Query().Has("no_track_activity")
}
