package memberpodman

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// strange is a Podman of a member, honest but where a test changes it. It counts what it could send.
type strange struct {
	create  http.HandlerFunc // of POST /containers/NAME/exec
	inspect http.HandlerFunc // of GET /exec/ID/json
	start   func(c net.Conn) // of POST /exec/ID/start, with the connection
	ping    http.HandlerFunc
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// endless sends a text again and again until the other end is gone.
func endless(to io.Writer, s string) {
	for block := []byte(strings.Repeat(s, 1<<14)); ; {
		if _, err := to.Write(block); err != nil {
			return
		}
	}
}

const (
	upgraded = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n" +
		"Upgrade: tcp\r\n\r\n"
	described = `{"ID":"abc","ExitCode":7,"ProcessConfig":{"entrypoint":"sh","tty":false}}`
)

// frame is one of a command's output.
func frame(stream byte, text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{stream, 0, 0, 0}, uint32(len(text)))) + text
}

func honest() strange {
	return strange{
		ping:   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Libpod-API-Version", "5.4.2") },
		create: text(http.StatusCreated, `{"Id":"abc"}`), inspect: text(http.StatusOK, described),
		start: func(c net.Conn) {
			_, _ = io.WriteString(c, upgraded+frame(1, "out\n")+frame(2, "err\n")+frame(1, ""))
		},
	}
}

// directory is short enough for a socket.
func directoryOf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// listen serves on a socket, whose path it returns.
func (s strange) listen(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(directoryOf(t), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return socket
}

func (s strange) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
		s.ping(w, r)
	case strings.HasSuffix(r.URL.Path, "/exec"):
		s.create(w, r)
	case strings.HasSuffix(r.URL.Path, "/json"):
		s.inspect(w, r)
	case strings.HasSuffix(r.URL.Path, "/start"):
		_, _ = io.Copy(io.Discard, r.Body)
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			s.start(c)
			_ = c.(*net.UnixConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c) // the session's input
			_ = c.Close()
		}
	}
}

func me() uint32 { return uint32(os.Getuid()) }

// runOn runs a command through a socket and returns what came of it.
func runOn(t *testing.T, socket string) (out, errs string, status int, err error) {
	t.Helper()
	s, err := NewSession(socket, me(), "box")
	if err != nil {
		return "", "", 0, err
	}
	defer s.Close()
	var o, e strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status, err = s.Run(ctx, Exec{Command: []string{"x"}, Stdin: strings.NewReader("in"), Stdout: &o, Stderr: &e})
	return o.String(), e.String(), status, err
}

func TestSession(t *testing.T) {
	out, errs, status, err := runOn(t, honest().listen(t))
	if err != nil || out != "out\n" || errs != "err\n" || status != 7 {
		t.Errorf("out %q, err %q, status %d, %v", out, errs, status, err)
	}
}

// TestLargeOutput checks that a command's own output has no bound.
func TestLargeOutput(t *testing.T) {
	s := honest()
	s.start = func(c net.Conn) {
		_, _ = io.WriteString(c, upgraded+strings.Repeat(frame(1, strings.Repeat("x", 32<<10)), 100))
	}
	if out, _, _, err := runOn(t, s.listen(t)); err != nil || len(out) != 3200<<10 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// TestHostilePodman lets the member's Podman send what it should not: each time the session ends with an error, and
// little of it was in memory.
func TestHostilePodman(t *testing.T) {
	huge := func(w http.ResponseWriter, _ *http.Request) { endless(w, " ") }
	header := func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			endless(c, "x")
			_ = c.Close()
		}
	}
	for name, tt := range map[string]struct {
		change func(*strange)
		want   string
	}{
		"endless answer":       {func(s *strange) { s.create = huge }, "more than any answer"},
		"endless header":       {func(s *strange) { s.create = header }, "cannot run a command"},
		"endless first header": {func(s *strange) { s.ping = header }, "cannot reach podman's API"},
		"endless description":  {func(s *strange) { s.inspect = huge }, "more than any answer"},
		"endless head of the output": {func(s *strange) {
			s.start = func(c net.Conn) { endless(c, "HTTP/1.1 200 OK\r\n") }
		}, "cannot run a command"},
		"huge frame": {func(s *strange) {
			s.start = func(c net.Conn) {
				_, _ = io.WriteString(c, upgraded+"\x01\x00\x00\x00\xff\xff\xff\xff")
				endless(c, "x")
			}
		}, "announces 4294967295 bytes"},
		"endless refusal": {func(s *strange) {
			s.start = func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nConnection: close\r\n\r\n")
				endless(c, "x")
			}
		}, "more than any answer"},
		"escape sequences": {func(s *strange) {
			s.create = text(http.StatusInternalServerError,
				`{"message":"\u001b]0;title\u0007\u001b[31mred","response":500}`)
		}, "red"},
		"no JSON": {func(s *strange) { s.create = text(http.StatusCreated, "<html>") }, "cannot run a command"},
	} {
		t.Run(name, func(t *testing.T) {
			s := honest()
			tt.change(&s)
			before := allocated()
			out, errs, _, err := runOn(t, s.listen(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q; out %.40q, err %.40q", err, tt.want, out, errs)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\x07") {
				t.Errorf("the error holds control characters: %q", err)
			}
			if grown := allocated() - before; grown > 256<<20 {
				t.Errorf("%d MB went through memory", grown>>20)
			}
		})
	}
}

// allocated is how much memory this process has asked for in all.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestHostileSocket puts something else in the socket's place: nothing is connected to or waited for.
func TestHostileSocket(t *testing.T) {
	other := honest().listen(t)
	for name, tt := range map[string]struct {
		put  func(dir string) error
		want string
	}{
		"link to another socket": {func(dir string) error { return os.Symlink(other, dir+"/api.sock") },
			"too many levels of symbolic links"},
		"FIFO":         {func(dir string) error { return unix.Mkfifo(dir+"/api.sock", 0o600) }, "not a socket"},
		"regular file": {func(dir string) error { return os.WriteFile(dir+"/api.sock", nil, 0o600) }, "not a socket"},
		"directory":    {func(dir string) error { return os.Mkdir(dir+"/api.sock", 0o700) }, "not a socket"},
		"nothing":      {func(string) error { return nil }, "no such file"},
		"directory is a link": {func(dir string) error {
			if err := os.Remove(dir); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(other), dir)
		}, "too many levels of symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := directoryOf(t)
			if err := tt.put(dir); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, _, _, err := runOn(t, dir+"/api.sock")
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it waits")
			}
		})
	}
}

// TestReplacedSocket changes what the name leads to after it was checked: the session stays with what it has opened.
func TestReplacedSocket(t *testing.T) {
	socket := honest().listen(t)
	stranger := honest()
	stranger.inspect = text(http.StatusOK, strings.Replace(described, "7", "99", 1))
	s, err := NewSession(socket, me(), "box")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Rename(stranger.listen(t), socket); err != nil {
		t.Fatal(err)
	}
	status, err := s.Run(t.Context(), Exec{Command: []string{"x"}, Stdin: strings.NewReader(""), Stdout: io.Discard,
		Stderr: io.Discard})
	if err != nil || status != 7 {
		t.Errorf("status %d, %v", status, err)
	}
}

// TestStrangeListener lets another than the member listen, or own the socket.
func TestStrangeListener(t *testing.T) {
	socket := honest().listen(t)
	if _, err := NewSession(socket, me()+1, "box"); err == nil ||
		!strings.Contains(err.Error(), "not a socket of uid") {
		t.Errorf("another's socket: %v", err)
	}
	s, err := NewSession(socket, me(), "box")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.uid++ // as if the socket's owner were not who listens
	if _, err := s.connect(t.Context(), true); err == nil || !strings.Contains(err.Error(), "listens on the socket") {
		t.Errorf("another listener: %v", err)
	}
}

const envBecome = "GIFFORD_TEST_BECOME"

// TestBecome drops root's rights in a process of its own.
func TestBecome(t *testing.T) {
	if ids := os.Getenv(envBecome); ids != "" {
		became(t, ids)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	for ids, want := range map[string]string{"5001 5002": "ok", "0 5002": "no member's", "5001 0": "no member's",
		"4294967295 5": "no member's", "5 4294967295": "no member's"} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestBecome$", "-test.v")
		cmd.Env = append(os.Environ(), envBecome+"="+ids)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "became: "+want) &&
			!strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", ids, err, out)
		}
	}
}

// became is the process.
func became(t *testing.T, ids string) {
	var uid, gid uint32
	if _, err := fmt.Sscan(ids, &uid, &gid); err != nil {
		t.Fatal(err)
	}
	if err := Become(uid, gid); err != nil {
		fmt.Println("became:", err)
		return
	}
	groups, _ := os.Getgroups()
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	status, _ := os.ReadFile("/proc/thread-self/status")
	switch {
	case os.Getuid() != int(uid) || os.Getgid() != int(gid) || len(groups) != 1 || groups[0] != int(gid):
		fmt.Println("became: uid", os.Getuid(), "gid", os.Getgid(), "groups", groups)
	case dumpable != 0:
		fmt.Println("became: dumpable", dumpable)
	case syscall.Setuid(0) == nil || !strings.Contains(string(status), "CapEff:\t"+strings.Repeat("0", 16)):
		fmt.Println("became: rights are left:", string(status))
	default:
		fmt.Println("became: ok")
	}
}
