// Package httpx holds what the hub's HTTP surfaces share: handlers that return errors, errors with
// a public and a private half, and the middleware for all requests. It must never know a route or
// a page.
package httpx

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// Handler answers a request or returns an error, which its surface renders as a page or as
// JupyterHub's JSON. A handler that has begun its answer returns nil.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Error is an error whose public half may be shown to the person who asked.
type Error struct {
	Status int    // HTTP status, 4xx or 5xx
	Public string // what failed, on what and why, in lower case
	Hint   string // what to do next; may be empty
	Cause  error  // for the log alone; may be nil
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Public + ": " + e.Cause.Error()
	}
	return e.Public
}

func (e *Error) Unwrap() error { return e.Cause }

// Fail makes an Error without a cause. The text is shown to people.
func Fail(status int, format string, args ...any) *Error {
	return &Error{Status: status, Public: fmt.Sprintf(format, args...)}
}

// Public returns the public half of err. For an error that is no Error it is a bare 500; the cause
// goes to the log only.
func Public(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Status: http.StatusInternalServerError, Public: "something went wrong in the hub", Cause: err}
}

type noteKey struct{}

// note is what the hub records of a request itself.
type note struct {
	id    string
	route string // set by the handler's goroutine, read after it has returned
}

func noteOf(ctx context.Context) *note {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n
	}
	return &note{}
}

// RequestID returns the id that the journal has for r, "" outside WithRequestID.
func RequestID(r *http.Request) string { return ContextRequestID(r.Context()) }

// ContextRequestID is RequestID for whoever has the context of a request alone.
func ContextRequestID(ctx context.Context) string { return noteOf(ctx).id }

// SetRoute records the pattern that matched r. Surfaces call it at the start of their handlers: the
// middleware in front of the mux has an older copy of r, without a Pattern.
func SetRoute(r *http.Request, pattern string) { noteOf(r.Context()).route = pattern }

// Route returns the pattern that matched r, "" for none. It is known once r has been answered.
func Route(r *http.Request) string { return noteOf(r.Context()).route }

// WithRequestID assigns each request an id. It accepts none from the client, so that nobody can
// forge the ids of the journal.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), noteKey{}, &note{id: rand.Text()[:12]})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// WithRecover turns a panic in a handler into a 500 and a journal entry with the
// stack. It lets http.ErrAbortHandler pass, as net/http requires.
func WithRecover(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { // net/http compares this value itself
				panic(p)
			}
			log.Error("handler panicked", "event", "panic", "request", RequestID(r),
				"path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			Words(w, "something went wrong in the hub (request "+RequestID(r)+")", http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r)
	})
}

// LogFailure writes a request's error to the journal: errors of the hub with their
// cause, refusals at debug level.
func LogFailure(log *slog.Logger, r *http.Request, err error) {
	e := Public(err)
	level := slog.LevelDebug
	if e.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	log.Log(r.Context(), level, "request failed", "event", "request-failed", "request", RequestID(r),
		"method", r.Method, "path", r.URL.Path, "status", e.Status, "error", err.Error())
}
