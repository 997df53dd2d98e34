package httpx

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPublic checks that an error that nobody marked says nothing to people and everything to the log.
func TestPublic(t *testing.T) {
	cause := errors.New("secret detail")
	marked := &Error{Status: http.StatusConflict, Public: "already there", Hint: "try again", Cause: cause}
	for name, tt := range map[string]struct {
		err    error
		status int
		public string
	}{
		"marked":             {marked, 409, "already there"},
		"marked and wrapped": {fmt.Errorf("group: %w", marked), 409, "already there"},
		"without a cause":    {Fail(http.StatusNotFound, "no group %q", "x"), 404, `no group "x"`},
		"not marked":         {cause, 500, "something went wrong in the hub"},
	} {
		e := Public(tt.err)
		if e.Status != tt.status || e.Public != tt.public {
			t.Errorf("%s: %+v", name, e)
		}
		if tt.err != error(marked) && name == "not marked" && !errors.Is(e, cause) {
			t.Errorf("%s: the cause is lost", name)
		}
	}
	if got := marked.Error(); got != "already there: secret detail" || !errors.Is(marked, cause) {
		t.Errorf("the log has %q", got)
	}
	if got := Fail(404, "gone").Error(); got != "gone" {
		t.Errorf("the log has %q", got)
	}
}

// TestRequestID checks that each request has an id of the hub's making, whatever the client sends.
func TestRequestID(t *testing.T) {
	var ids []string
	h := WithRequestID(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ids = append(ids, RequestID(r))
		SetRoute(r, "GET /hub/home")
		if Route(r) != "GET /hub/home" {
			t.Errorf("route %q", Route(r))
		}
	}))
	for range 2 {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Request-Id", "forged")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if len(ids[0]) != 12 || ids[0] == ids[1] {
		t.Errorf("ids %q", ids)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	SetRoute(r, "x")
	if RequestID(r) != "" || Route(r) != "" {
		t.Errorf("outside of the middleware: %q, %q", RequestID(r), Route(r))
	}
}

// TestRecover checks that a panic becomes a 500 that says nothing, and that net/http's own passes.
func TestRecover(t *testing.T) {
	var log bytes.Buffer
	serve := func(what any) (w *httptest.ResponseRecorder, passed any) {
		log.Reset()
		w = httptest.NewRecorder()
		defer func() { passed = recover() }()
		WithRequestID(WithRecover(slog.New(slog.NewTextHandler(&log, nil)), http.HandlerFunc(
			func(http.ResponseWriter, *http.Request) {
				if what != nil {
					panic(what)
				}
			}))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hub/home", nil))
		return w, nil
	}
	w, passed := serve("secret detail")
	if passed != nil || w.Code != 500 || strings.Contains(w.Body.String(), "secret") ||
		!strings.Contains(log.String(), "secret detail") || !strings.Contains(log.String(), "event=panic") {
		t.Errorf("%d %s, passed %v\n%s", w.Code, w.Body, passed, log.String())
	}
	if _, passed := serve(http.ErrAbortHandler); passed != http.ErrAbortHandler || log.Len() > 0 {
		t.Errorf("net/http's own: %v\n%s", passed, log.String())
	}
	if w, passed := serve(nil); w.Code != 200 || passed != nil || log.Len() > 0 {
		t.Errorf("without a panic: %d, %v\n%s", w.Code, passed, log.String())
	}
}

// TestLogFailure checks that faults of the hub are errors in the journal and refusals are not.
func TestLogFailure(t *testing.T) {
	for status, want := range map[int]string{400: "DEBUG", 404: "DEBUG", 499: "DEBUG", 500: "ERROR", 503: "ERROR"} {
		var log bytes.Buffer
		LogFailure(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			httptest.NewRequest(http.MethodGet, "/hub/home", nil), &Error{Status: status, Public: "x",
				Cause: errors.New("detail")})
		for _, part := range []string{"level=" + want, "detail", "path=/hub/home", "event=request-failed"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("%d: no %s in %s", status, part, log.String())
			}
		}
	}
}
