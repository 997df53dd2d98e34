package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rig plays PID 1: it opens the sockets, starts the first process, listens for
// notifications and adopts orphans.
type rig struct {
	stderr string // file that has what the processes wrote
	stream string // device:inode of stderr
	client *http.Client
	first  int

	mu    sync.Mutex
	notes []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &rig{stderr: filepath.Join(dir, "stderr")}
	r.listenNotify(t, filepath.Join(dir, "notify"))
	path := filepath.Join(dir, "http")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	r.start(t, listener, filepath.Join(dir, "notify"))
	r.await(t, "READY=1\nSTATUS=serving MAINPID=1")
	return r
}

func (r *rig) start(t *testing.T, listener net.Listener, notify string) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, fds, err := dupAll(map[string][]net.Listener{"a": {listener}, "b": {tcp}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeFDs(fds)
	defer func() { _ = tcp.Close() }()
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	defer func() { _ = listener.Close() }()
	log, err := os.OpenFile(r.stderr, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	var stat unix.Stat_t
	if err := unix.Fstat(int(log.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	r.stream = fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r.first, err = syscall.ForkExec(exe, []string{exe, modeServe}, &syscall.ProcAttr{
		// The first process knows its pid no better than a successor: the test
		// cannot set LISTEN_PID between fork and exec as systemd does.
		Env: append(without(os.Environ(), "NOTIFY_SOCKET", envJournal), "NOTIFY_SOCKET="+notify, envStage+"="+stageNew,
			envListenFDs+"=2", envNames+"=plain:tls", envJournal+"="+r.stream, "GIFFORD_KEEP=yes",
			envUsec+"=60000000", envWatchPID+"=1"),
		Files: []uintptr{0, 1, log.Fd(), uintptr(fds[0]), uintptr(fds[1])},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.killAll)
}

// killAll ends every process that the test has adopted.
func (r *rig) killAll() {
	for {
		for _, pid := range children() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// children returns the pids of this process's children, of all its threads.
func children() []int {
	var pids []int
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (r *rig) listenNotify(t *testing.T, path string) {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.notes = append(r.notes, string(buffer[:n]))
			r.mu.Unlock()
		}
	}()
}

// await waits for a notification that is note.
func (r *rig) await(t *testing.T, note string) {
	t.Helper()
	var seen []string
	for range 1000 {
		r.mu.Lock()
		seen = append(seen[:0], r.notes...)
		r.mu.Unlock()
		for _, got := range seen {
			if got == note {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no notification %q among %q; processes wrote:\n%s", note, seen, r.output(t))
}

func (r *rig) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(r.stderr)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (r *rig) get(t *testing.T, path string) (int, string) {
	t.Helper()
	res, err := r.client.Get("http://hub" + path)
	if err != nil {
		t.Fatalf("%v; processes wrote:\n%s", err, r.output(t))
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func (r *rig) pid(t *testing.T) int {
	t.Helper()
	_, body := r.get(t, "/pid")
	pid, err := strconv.Atoi(body)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// reload asks the serving process for a successor and returns the answer.
func (r *rig) reload(t *testing.T, mode, timeout, path string) (int, string) {
	t.Helper()
	query := url.Values{"mode": {mode}, "timeout": {timeout}}
	if path != "" {
		query.Set("path", path)
	}
	return r.get(t, "/reload?"+query.Encode())
}

// replaced reloads and returns the pid that serves then. The old process may
// accept for a moment still.
func (r *rig) replaced(t *testing.T, old int) int {
	t.Helper()
	if status, body := r.reload(t, modeServe, "30s", ""); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	for range 500 {
		if pid := r.pid(t); pid != old {
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %d serves still", old)
	return 0
}
