package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// BodyTimes bounds how slowly a request's body may arrive.
type BodyTimes struct {
	Pause time.Duration // the longest time in which nothing of it comes
	Total time.Duration // until all of it is there
}

// WithBodyTimes ends requests whose body does not arrive: without a deadline one that never comes would hold its
// connection for ever, also after the handler has refused it, since net/http reads what is left of a body before it
// answers. It needs the writer of net/http's server. Streaming makes an exception.
func WithBodyTimes(times BodyTimes, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		b := &timedBody{ReadCloser: r.Body, conn: http.NewResponseController(w), pause: times.Pause,
			ends: time.Now().Add(times.Total)}
		b.extend()
		defer b.extend() // net/http reads on
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, b))
		r.Body = b
		next.ServeHTTP(w, r)
	})
}

// Streaming lets the body of r take as long as it takes, for requests that are passed on: an upload to a server may be
// slow, or wait for the answer to the part before. end sets the deadline again, for what nobody has read.
func Streaming(r *http.Request) (end func()) {
	b, ok := r.Context().Value(bodyKey{}).(*timedBody)
	if !ok {
		return func() {}
	}
	b.free.Store(true)
	b.deadline(time.Time{})
	return func() {
		b.free.Store(false)
		b.ends = time.Now().Add(b.pause)
		b.extend()
	}
}

type bodyKey struct{}

// timedBody sets the deadline of its connection before each read.
type timedBody struct {
	io.ReadCloser
	conn  *http.ResponseController
	pause time.Duration
	ends  time.Time
	free  atomic.Bool // Streaming
	read  atomic.Bool // to its end
}

// Read reads what has come, within the pause.
func (b *timedBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.read.Store(true)
		b.deadline(time.Time{}) // the answer, and the connection's next request, have times of their own
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &Error{Status: http.StatusRequestTimeout, Public: fmt.Sprintf("the request's body does not arrive: "+
			"nothing "+
			"came for %s, or it takes too long", b.pause), Cause: err}
	}
	return n, err
}

func (b *timedBody) extend() {
	if b.free.Load() || b.read.Load() {
		return
	}
	until := time.Now().Add(b.pause)
	if b.ends.Before(until) {
		until = b.ends
	}
	b.deadline(until)
}

// deadline sets the deadline where the writer has one; a recorder of a test has none.
func (b *timedBody) deadline(t time.Time) { _ = b.conn.SetReadDeadline(t) }
