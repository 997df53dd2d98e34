package handover

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReloadTwiceMakesEachNewProcessMain(t *testing.T) {
	r := newRig(t)
	pids := []int{r.pid(t)}
	for range 3 {
		old := pids[len(pids)-1]
		pid := r.replaced(t, old)
		pids = append(pids, pid)
		r.await(t, fmt.Sprintf("READY=1\nMAINPID=%d\nSTATUS=serving MAINPID=1", pid))
		_, got := r.get(t, "/state")
		want := fmt.Sprintf("ppid=%d\nstderr=%s\nwatchdog=%d\nGIFFORD_KEEP=yes\nJOURNAL_STREAM=%s\n",
			os.Getpid(), r.stream, pid, r.stream)
		if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
			t.Errorf("state of %d (-want +got):\n%s", pid, diff)
		}
		if _, err := syscall.Wait4(old, nil, 0, nil); err != nil {
			t.Errorf("the old process %d: %v", old, err)
		}
	}
	if got, want := strings.Count(r.output(t), "starting\n"), len(pids); got != want {
		t.Errorf("%d processes reached standard error, want %d", got, want)
	}
}

func TestLongResponseOutlivesReload(t *testing.T) {
	r := newRig(t)
	body, finish := io.Pipe()
	res, err := r.client.Post("http://hub/slow", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); line != fmt.Sprintf("begun %d\n", r.first) {
		t.Fatalf("first line %q, %v", line, err)
	}
	if pid := r.replaced(t, r.first); pid == r.first {
		t.Fatal("not replaced")
	}
	if err := finish.Close(); err != nil {
		t.Fatal(err)
	}
	if line, err := lines.ReadString('\n'); line != fmt.Sprintf("done %d\n", r.first) {
		t.Errorf("last line %q, %v", line, err)
	}
}

func TestNoConnectionIsRefused(t *testing.T) {
	r := newRig(t)
	stop := make(chan struct{})
	done := make(chan error, 4)
	var served atomic.Int64
	for range cap(done) {
		go func() { done <- hammer(r.client, stop, &served) }()
	}
	pid := r.first
	for range 2 {
		pid = r.replaced(t, pid)
	}
	close(stop)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if served.Load() < 10 {
		t.Errorf("only %d requests were served", served.Load())
	}
}

func hammer(client *http.Client, stop <-chan struct{}, served *atomic.Int64) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		res, err := client.Get("http://hub/pid")
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		served.Add(1)
	}
}

func TestFailedSuccessorLeavesTheOldOne(t *testing.T) {
	tests := map[string]struct {
		mode, timeout string
		path          string
		want          []string
	}{
		"ends at once": {mode: modeDie, timeout: "30s", want: []string{"ended before it was ready",
			"cannot open the database"}},
		"hangs": {mode: modeHang, timeout: "2s", want: []string{"killed: not ready within 2s",
			"still migrating"}},
		"no such file": {mode: modeServe, path: "/nonexistent/hub", want: []string{"/nonexistent/hub", "no such file"}},
		"relative":     {mode: modeServe, path: "hub", want: []string{"not absolute"}},
	}
	r := newRig(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			status, body := r.reload(t, tc.mode, tc.timeout, tc.path)
			if status != http.StatusInternalServerError {
				t.Fatalf("reload: %d %s", status, body)
			}
			for _, want := range tc.want {
				if !strings.Contains(body, want) {
					t.Errorf("error %q has no %q", body, want)
				}
			}
			if pid := r.pid(t); pid != r.first {
				t.Errorf("process %d serves, want %d", pid, r.first)
			}
		})
	}
	if !strings.Contains(r.output(t), "cannot open the database") {
		t.Error("the new process's words did not reach standard error")
	}
	// The one that hung is dead: only the first process and zombies are left.
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != nil || pid == 0 {
			break
		}
	}
	if diff := cmp.Diff([]int{r.first}, children()); diff != "" {
		t.Errorf("processes left (-want +got):\n%s", diff)
	}
	if pid := r.replaced(t, r.first); pid == r.first {
		t.Error("a later reload failed")
	}
}

func TestSuccessorChecksListeners(t *testing.T) {
	listener := listen(t)
	tests := map[string]struct {
		listeners map[string][]net.Listener
		want      string
	}{
		"none":    {nil, ErrNoListeners.Error()},
		"colon":   {map[string][]net.Listener{"a:b": {listener}}, "has a colon"},
		"wrapped": {map[string][]net.Listener{"a": {struct{ net.Listener }{listener}}}, "no descriptor"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := Successor(t.Context(), Config{Path: "/bin/false", Listeners: tc.listeners})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestDupLeavesListenerNonBlocking(t *testing.T) {
	listener := listen(t)
	_, fds, err := dupAll(map[string][]net.Listener{"a": {listener}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeFDs(fds)
	accepted := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		accepted <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-accepted:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("accept did not return on close")
	}
}

func TestListenersWithoutAny(t *testing.T) {
	t.Setenv(envListenFDs, "")
	if _, err := Listeners(); !errors.Is(err, ErrNoListeners) {
		t.Errorf("error = %v, want ErrNoListeners", err)
	}
}

func TestListenersMeantForAnother(t *testing.T) {
	t.Setenv(envListenFDs, "1")
	t.Setenv(envListenPID, "1")
	t.Setenv(envNames, "plain")
	_, err := Listeners()
	if err == nil || errors.Is(err, ErrNoListeners) || !strings.Contains(err.Error(), "0 of the 1 sockets") {
		t.Errorf("error = %v", err)
	}
	if _, left := os.LookupEnv(envListenFDs); left {
		t.Error("LISTEN_FDS is left")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func sorted(text string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(text) {
		set[line] = true
	}
	return set
}
