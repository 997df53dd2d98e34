package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Modes of the test binary when it is not the test itself: its first argument.
const (
	modeServe = "-handover-serve"
	modeDie   = "-handover-die"
	modeHang  = "-handover-hang"
)

func TestMain(m *testing.M) {
	Intermediate()
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case modeServe:
		if err := serve(); err != nil {
			fmt.Fprintf(os.Stderr, "child %d: %v\n", os.Getpid(), err)
			os.Exit(1)
		}
	case modeDie:
		fmt.Fprintln(os.Stderr, "cannot open the database: it is newer than this program")
		os.Exit(3)
	case modeHang:
		fmt.Fprintln(os.Stderr, "still migrating")
		time.Sleep(time.Hour)
	default:
		os.Exit(m.Run())
	}
}

// hub is the small server that the child processes run.
type hub struct {
	listeners map[string][]net.Listener
	server    *http.Server
	replaced  chan struct{}
}

func serve() error {
	fmt.Fprintf(os.Stderr, "starting\n")
	listeners, err := Listeners()
	if err != nil {
		return err
	}
	h := &hub{listeners: listeners, replaced: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("/state", state)
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/reload", h.reload)
	h.server = &http.Server{Handler: mux}
	drainer := NewDrainer(h.server)
	failed := make(chan error, 8)
	for _, group := range listeners {
		for _, listener := range group {
			go func() { failed <- h.server.Serve(listener) }()
		}
	}
	if err := Announce("serving\nMAINPID=1"); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "ready %d\n", os.Getpid())
	select {
	case <-h.replaced:
		return drainer.Drain(context.Background(), listeners)
	case err := <-failed:
		return err
	}
}

func state(w http.ResponseWriter, _ *http.Request) {
	var stat unix.Stat_t
	_ = unix.Fstat(2, &stat)
	fmt.Fprintf(w, "ppid=%d\nstderr=%d:%d\nwatchdog=%s\n", os.Getppid(), stat.Dev, stat.Ino, os.Getenv(envWatchPID))
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "GIFFORD_") && !strings.HasPrefix(entry, "GIFFORD_CACHE=") ||
			strings.HasPrefix(entry, "LISTEN_") || strings.HasPrefix(entry, "JOURNAL_") {
			fmt.Fprintln(w, entry)
		}
	}
}

// slow writes one line at once and one when its standard input, a request
// body, ends.
func slow(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	fmt.Fprintf(w, "begun %d\n", os.Getpid())
	_ = control.Flush()
	_, _ = io.Copy(io.Discard, r.Body)
	fmt.Fprintf(w, "done %d\n", os.Getpid())
}

func (h *hub) reload(w http.ResponseWriter, r *http.Request) {
	err := Notify{}.Reloading()
	timeout, _ := time.ParseDuration(r.FormValue("timeout"))
	path, _ := os.Executable()
	if r.Form.Has("path") {
		path = r.FormValue("path")
	}
	err = errors.Join(err, Successor(r.Context(), Config{
		Path: path, Args: []string{r.FormValue("mode")}, Listeners: h.listeners, Timeout: timeout,
	}))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Connection", "close")
	fmt.Fprint(w, "replaced")
	close(h.replaced)
}
