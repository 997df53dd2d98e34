package proxy

import (
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Opcodes of RFC 6455, 5.2.
const (
	opText, opContinued          = 0x1, 0x0
	opClose, opPing, opPong byte = 0x8, 0x9, 0xa
)

// frame writes a frame as a client does, whose payload is of n bytes.
func frame(op byte, n int) []byte {
	b := []byte{0x80 | op}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 1, 2, 3, 4)
	for i := range n {
		b = append(b, 0x81^byte(i)) // must not be taken for a header
	}
	return b
}

func TestFrames(t *testing.T) {
	tests := map[string]struct {
		op   byte
		size int
		want bool
	}{
		"text":             {opText, 5, true},
		"continued":        {opContinued, 5, true},
		"empty text":       {opText, 0, true},
		"text of 200":      {opText, 200, true},
		"text of 70,000":   {opText, 70_000, true},
		"ping":             {opPing, 0, false},
		"ping with words":  {opPing, 125, false},
		"pong":             {opPong, 4, false},
		"close":            {opClose, 2, false},
		"too long a pong":  {opPong, 200, false},
		"much too long it": {opPong, 70_000, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var f frames
			for range 3 {
				if got := f.message(frame(tt.op, tt.size)); got != tt.want {
					t.Fatalf("a message: %v, want %v", got, tt.want)
				}
			}
		})
	}
}

// TestFramesInPieces checks that it does not matter how the bytes arrive.
func TestFramesInPieces(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		var f frames
		for range 20 {
			op, size := []byte{opText, opPing, opPong}[r.IntN(3)], []int{0, 3, 125, 126, 700, 66_000}[r.IntN(6)]
			found := false
			for rest := frame(op, size); len(rest) > 0; {
				n := 1 + r.IntN(min(len(rest), 1+r.IntN(20_000)))
				found = f.message(rest[:n]) || found
				rest = rest[n:]
			}
			if found != (op == opText) {
				t.Fatalf("seed %d: a frame of kind %d and %d bytes counts: %v", seed, op, size, found)
			}
		}
	}
}

// FuzzFrames checks that no bytes of a client bring the proxy down, and that it takes the
// same from them in one piece as byte by byte.
func FuzzFrames(f *testing.F) {
	f.Add(frame(opText, 300))
	f.Add(append(frame(opPing, 0), frame(opText, 1)...))
	f.Add([]byte{0x89, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole, single frames
		found := false
		for i := range b {
			found = single.message(b[i:i+1]) || found
		}
		if got := whole.message(b); got != found {
			t.Errorf("in one piece %v, byte by byte %v", got, found)
		}
	})
}

// TestPingsAreNoActivity checks with a real WebSocket that keeping it open is not use.
func TestPingsAreNoActivity(t *testing.T) {
	p := newProxy(t, Config{})
	alice := key(t, "alice", "")
	p.SetRoute(alice, upstream(t, http.HandlerFunc(echo)))
	s := front(t, passing(p))
	c := dialWS(t, s)
	ctx := c.CloseRead(t.Context())
	before := p.Activity(alice)
	for range 3 {
		if err := c.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if !p.Activity(alice).Equal(before) {
		t.Error("pings count as activity")
	}
	say(t, dialWS(t, s), "hello")
	if !p.Activity(alice).After(before) {
		t.Error("a message does not count as activity")
	}
	before = p.Activity(alice)
	_ = c.CloseNow()
	for deadline := time.Now().Add(10 * time.Second); p.Stats(alice).WebSockets > 1 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if !p.Activity(alice).Equal(before) {
		t.Error("the end of a WebSocket counts as activity")
	}
}

// FuzzNarrow gives any header to what narrows answers, for the same reason: interim answers pass in a goroutine of the
// transport's.
func FuzzNarrow(f *testing.F) {
	for _, name := range []string{"Set-Cookie", "Service-Worker-Allowed", "Www-Authenticate", "Nel"} {
		for _, value := range []string{"", "a=b; path=/", `"`, `Bearer a="\`, ",,", "/user/alice/"} {
			f.Add(name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		h := http.Header{name: {value, value}, "X": nil}
		narrow(h, "/user/alice/")
		again := h.Clone()
		narrow(again, "/user/alice/")
		if diff := cmp.Diff(h, again); diff != "" {
			t.Errorf("narrowed twice (-once +twice):\n%s", diff)
		}
	})
}
