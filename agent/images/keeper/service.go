package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containers/podman/v4/pkg/bindings"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// service is one "podman system service". It and all that it starts are a process group.
type service struct {
	cmd  *exec.Cmd
	conn context.Context // of the bindings; never ends
	gone chan struct{}   // closed when cmd has ended
	tmp  string          // its temporary files, removed with it
}

// start starts a service and waits until it answers or ctx ends.
func (p *Podman) start(ctx context.Context) (*service, error) {
	number := strconv.FormatInt(p.count.Add(1), 10)
	s := &service{tmp: filepath.Join(p.tmp(), number), gone: make(chan struct{})}
	socket := filepath.Join(p.cfg.RunDir, "podman-"+number+".sock")
	if err := os.MkdirAll(s.tmp, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a directory for podman: %w", err)
	}
	s.cmd = exec.Command(p.program, "--cgroup-manager=cgroupfs", "--events-backend=file", "system", "service",
		"--time=0", "unix://"+socket)
	s.cmd.Env = []string{"HOME=" + p.cfg.StateDir, "XDG_RUNTIME_DIR=" + p.cfg.RunDir,
		"CONTAINERS_STORAGE_CONF=" + p.storageConf(), "TMPDIR=" + s.tmp,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null"}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = p.cfg.StateDir, p.cfg.Stderr, p.cfg.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(s.tmp)
		return nil, fmt.Errorf("cannot start podman's API service: %w", err)
	}
	go func() {
		defer close(s.gone)
		_ = s.cmd.Wait()
	}()
	if err := s.connect(ctx, socket); err != nil {
		s.end(0)
		return nil, err
	}
	return s, nil
}

func (s *service) connect(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, podmanStarts)
	defer cancel()
	for {
		conn, err := bindings.NewConnection(ctx, "unix://"+socket)
		if err == nil {
			s.conn = context.WithoutCancel(conn)
			return nil
		}
		select {
		case <-s.gone:
			return hint.New("podman's API service ended at once", readLog)
		case <-ctx.Done():
			return hint.With(fmt.Errorf("podman's API service does not answer: %w", err), readLog)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// with returns the bindings' connection with the life of ctx.
func (s *service) with(ctx context.Context) context.Context { return both{s.conn, ctx} }

// both has the values of a connection and the end of a request.
type both struct {
	values context.Context
	context.Context
}

func (b both) Value(key any) any { return b.values.Value(key) }

// post sends a request, once.
func (s *service) post(ctx context.Context, path string, body io.Reader) (*http.Response, error) {
	client, err := bindings.GetClient(s.conn)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://d"+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-tar")
	}
	resp, err := client.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("podman's API service: %w", err)
	}
	return resp, nil
}

// over reports whether the service has ended.
func (s *service) over() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// killBound is how long end waits for processes that were killed.
const killBound = 30 * time.Second

// end ends the service and all its processes, which have the time of grace to do so, and removes its temporary files.
// Unpacking a layer does not end when it is asked to.
func (s *service) end(grace time.Duration) {
	if grace > 0 {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-s.gone:
		case <-time.After(grace):
		}
	}
	// Until the last of the group is gone, and with it what it writes; not for ever, where the disk does not answer.
	for begun := time.Now(); syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) == nil &&
		time.Since(begun) < killBound; {
		time.Sleep(10 * time.Millisecond)
	}
	if err := empty(s.tmp); err == nil {
		_ = os.Remove(s.tmp)
	}
}

// unpackInterval is the time between two measurements of a service's processes.
const unpackInterval = 5 * time.Second

// watchUnpacking calls each while the service writes a layer to the store. It ends with stop.
func (s *service) watchUnpacking(each func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(unpackInterval)
		defer tick.Stop()
		for before := uint64(0); ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if now := unpacked("/proc", s.cmd.Process.Pid); now != before {
				before = now
				each()
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// unpacked returns the CPU time, in ticks, of the processes of a group that unpack a layer: containers/storage does
// that in a child which calls itself storage-untar or similar.
func unpacked(proc string, group int) uint64 {
	var sum uint64
	processes, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, dir := range processes {
		command, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !strings.HasPrefix(string(command), "storage-") {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has just ended
		}
		// proc_pid_stat(5): what follows the name in parentheses begins with the state, field 3.
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 13 || fields[2] != strconv.Itoa(group) {
			continue
		}
		for _, ticks := range fields[11:13] { // utime, stime
			n, _ := strconv.ParseUint(ticks, 10, 64)
			sum += n
		}
	}
	return sum
}

// empty removes all that a directory has, by its descriptor, and follows no link.
func empty(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, root.RemoveAll(name))
	}
	return err
}
