package login

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestClientBounds checks that the provider can neither hold a sign-in for long nor fill the hub's memory.
func TestClientBounds(t *testing.T) {
	size := maxAnswer
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	}))
	defer srv.Close()
	client := newClient(srv.Client().Transport)
	if client.Timeout != 10*time.Second {
		t.Errorf("the time-out is %v", client.Timeout)
	}
	read := func() (int, error) {
		resp, err := client.Get(srv.URL)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return len(body), err
	}
	if n, err := read(); n != maxAnswer || err != nil {
		t.Errorf("an answer of the longest size: %d bytes, %v", n, err)
	}
	size++
	if n, err := read(); n != maxAnswer || !errors.Is(err, errAnswerTooLong) {
		t.Errorf("a longer answer: %d bytes, %v", n, err)
	}
	srv.Close()
	if _, err := read(); err == nil {
		t.Error("nobody listens, and there is an answer")
	}
}
