package metrics

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Unmatched is the handler of requests that no route's pattern took.
const Unmatched = "unmatched"

// Middleware observes jupyterhub_request_duration_seconds. route returns the pattern that matched a request; it is
// called when the answer is complete. A pattern is written without its method, which has a label of its own.
func (m *Metrics) Middleware(route func(*http.Request) string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun, rec := time.Now(), &recorder{ResponseWriter: w}
			defer func() {
				m.jupyter.request.WithLabelValues(method(r.Method), handler(route(r)),
					code(rec.final())).Observe(time.Since(begun).Seconds())
			}()
			next.ServeHTTP(rec, r)
			rec.complete = true
		})
	}
}

// handler returns the label for a pattern.
func handler(pattern string) string {
	if _, path, hasMethod := strings.Cut(pattern, " "); hasMethod {
		pattern = path
	}
	if pattern == "" {
		return Unmatched
	}
	return pattern
}

// method bounds the label: clients may send any text.
func method(name string) string {
	switch name {
	case "":
		return http.MethodGet // net/http's clients may omit it
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return name
	}
	return "OTHER"
}

// code bounds the label to the statuses that have a name.
func code(status int) string {
	if http.StatusText(status) == "" {
		return "other"
	}
	return strconv.Itoa(status)
}

// The values of the label kind.
const (
	kindHTTP      = "http"
	kindWebSocket = "websocket"
)

// classes are the values of the label status of proxied requests.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"} // read only

// clientGone is the status of requests whose client did not wait for the answer. The proxy then writes a 502 that
// nobody reads and that says nothing about the server.
const clientGone = "client-gone"

// class returns the class of a status. An open WebSocket counts as 1xx, by its status 101.
func class(status int) string {
	if status < 100 || status > 599 {
		return "other"
	}
	return classes[status/100-1]
}

// Proxy counts the requests that next passes to servers, or answers in a server's place.
func (m *Metrics) Proxy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := kindHTTP
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			kind = kindWebSocket
		}
		count := func(status int) { m.own.proxied.WithLabelValues(kind, class(status)).Inc() }
		// WebSockets stay open for days: they count when they begin.
		rec := &recorder{ResponseWriter: w, hijacked: func() { count(http.StatusSwitchingProtocols) }}
		defer func() {
			switch status := rec.final(); {
			case rec.taken:
			case status >= http.StatusInternalServerError && r.Context().Err() != nil:
				m.own.proxied.WithLabelValues(kind, clientGone).Inc()
			default:
				count(status)
			}
			m.own.proxiedBytes.Add(float64(rec.bytes))
		}()
		next.ServeHTTP(rec, r)
		rec.complete = true
	})
}

// recorder records an answer's status and size while it passes.
type recorder struct {
	http.ResponseWriter
	status   int
	bytes    int64
	complete bool   // the handler returned and did not panic
	taken    bool   // the connection was hijacked
	hijacked func() // called then; may be nil
}

// Unwrap lets http.ResponseController reach the server's own writer, for flushes,
// deadlines and full duplex.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// WriteHeader records the status. The final status replaces that of an interim answer.
func (rec *recorder) WriteHeader(status int) {
	if rec.status < http.StatusOK {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes. Without a WriteHeader before, net/http sends 200.
func (rec *recorder) Write(b []byte) (int, error) {
	if rec.status < http.StatusOK {
		rec.status = http.StatusOK
	}
	n, err := rec.ResponseWriter.Write(b)
	rec.bytes += int64(n)
	return n, err
}

// Hijack hands the connection over.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	rec.taken, rec.status = true, http.StatusSwitchingProtocols
	if rec.hijacked != nil {
		rec.hijacked()
	}
	return conn, brw, nil
}

// final returns the status once the handler has ended. net/http sends 200 for a handler that wrote none, and the hub
// 500 for one that panicked before it wrote anything.
func (rec *recorder) final() int {
	switch {
	case rec.taken || rec.status >= http.StatusOK:
		return rec.status
	case rec.complete:
		return http.StatusOK
	}
	return http.StatusInternalServerError
}
