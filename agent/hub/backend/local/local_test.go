package local

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// host is a launcher and a journal whose answers a test sets.
type host struct {
	err        error
	list       []launcherbus.Server
	gpus       launcherbus.GPUs
	persistent []launcherbus.PersistentContainer
	diskUse    launcherbus.DiskUse
	events     []launcherbus.Event
	request    launcherbus.StartRequest
	logs       []launcherbus.LogRequest
	answers    []launcherbus.Log // to the first requests for the log
}

func (h *host) Start(_ context.Context, r launcherbus.StartRequest) error {
	h.request = r
	return h.err
}
func (h *host) Stop(context.Context, ident.Key) error              { return h.err }
func (h *host) Reset(context.Context, ident.Key) error             { return h.err }
func (h *host) List(context.Context) ([]launcherbus.Server, error) { return h.list, h.err }
func (h *host) GPUs(context.Context) (launcherbus.GPUs, error)     { return h.gpus, h.err }
func (h *host) Public(context.Context) ([]launcherbus.PublicPaths, error) {
	return []launcherbus.PublicPaths{{Profile: "voila", Paths: []string{"voila/x"}}}, h.err
}
func (h *host) Persistent(context.Context) ([]launcherbus.PersistentContainer, error) {
	return h.persistent, h.err
}
func (h *host) Images(context.Context) (i launcherbus.Images, err error) { return i, h.err }
func (h *host) Profiles(context.Context) ([]launcherbus.Profile, error)  { return nil, h.err }
func (h *host) Close()                                                   {}
func (h *host) DiskUse(context.Context, ident.User, bool) (launcherbus.DiskUse, error) {
	return h.diskUse, h.err
}
func (h *host) Get(_ context.Context, key ident.Key) (launcherbus.Server, error) {
	for _, s := range h.list {
		if s.Key == key {
			return s, h.err
		}
	}
	return launcherbus.Server{}, h.err
}
func (h *host) Watch(_ context.Context, event func(launcherbus.Event), resync func()) {
	resync()
	for _, e := range h.events {
		event(e)
	}
}
func (h *host) Log(_ context.Context, r launcherbus.LogRequest) (launcherbus.Log, error) {
	h.logs = append(h.logs, r)
	if len(h.answers) == 0 {
		return launcherbus.Log{}, h.err
	}
	answer := h.answers[0]
	h.answers = h.answers[1:]
	return answer, nil
}

func newBackend(h *host) *Backend { return &Backend{h} }

func alice(t *testing.T) ident.Key {
	t.Helper()
	k, err := ident.ParseKey("alice", "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var equal = cmp.Options{cmp.Comparer(func(a, b ident.Key) bool { return a == b }), // read only
	cmp.Comparer(func(a, b backend.Address) bool { return a == b })}

// TestErrors sends every code and an answer that is no refusal through every call.
func TestErrors(t *testing.T) {
	h := &host{}
	b := newBackend(h)
	ctx, key := t.Context(), alice(t)
	calls := map[string]func() error{
		"start":      func() error { return b.Start(ctx, backend.StartRequest{Key: key}) },
		"stop":       func() error { return b.Stop(ctx, key) },
		"reset":      func() error { return b.Reset(ctx, key) },
		"get":        func() error { _, err := b.Get(ctx, key); return err },
		"list":       func() error { _, err := b.List(ctx); return err },
		"profiles":   func() error { _, err := b.Profiles(ctx); return err },
		"public":     func() error { _, err := b.Public(ctx); return err },
		"images":     func() error { _, err := b.Images(ctx); return err },
		"gpus":       func() error { _, err := b.GPUs(ctx); return err },
		"persistent": func() error { _, err := b.Persistent(ctx); return err },
		"log":        func() error { _, _, err := b.Tail(ctx, key, time.Now(), 1); return err },
		"follow":     func() error { return follow(ctx, b, key) },
		"disk-use":   func() error { _, err := b.DiskUse(ctx, key.User, true); return err },
	}
	codes := map[launcherbus.Code]backend.Code{
		launcherbus.Refused: backend.Refused, launcherbus.NoAccount: backend.NoAccount,
		launcherbus.NoSubIDs: backend.NoSubIDs, launcherbus.HomeNotCovered: backend.HomeNotCovered,
		launcherbus.MountRefused: backend.MountRefused, launcherbus.AlreadyExists: backend.AlreadyExists,
		launcherbus.NotFound: backend.NotFound, launcherbus.DevicesTaken: backend.DevicesTaken,
		launcherbus.DevicesMissing: backend.DevicesMissing, launcherbus.StartFailed: backend.StartFailed,
		launcherbus.Internal: backend.Internal,
	}
	for name, call := range calls {
		for from, to := range codes {
			h.err = &launcherbus.Error{Code: from, Message: "no", Hint: "ask"}
			err := call()
			var e *backend.Error
			if !errors.As(err, &e) || e.Code != to || e.Message != "no" || e.Hint != "ask" || !backend.Is(err, to) ||
				err.Error() != "no" {
				t.Errorf("%s: %s became %#v", name, from, err)
			}
		}
		h.err = io.EOF
		if err := call(); !errors.Is(err, io.EOF) || err.Error() != io.EOF.Error() {
			t.Errorf("%s: no answer became %#v", name, err)
		}
		h.err = nil
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServers(t *testing.T) {
	begun := time.Now()
	h := &host{list: []launcherbus.Server{{Key: alice(t), Profile: "lab", State: launcherbus.Running, UID: 5001,
		Socket: "/run/s", Started: begun, TokenHash: "ff", Devices: []string{"x/y=0"}}}}
	b := newBackend(h)
	want := backend.Server{Key: alice(t), Profile: "lab", State: backend.Running,
		Address: backend.UnixSocket("/run/s", 5001), Started: begun, TokenHash: "ff", Devices: []string{"x/y=0"}}
	got, err := b.Get(t.Context(), alice(t))
	if diff := cmp.Diff(want, got, equal); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if err := b.Start(t.Context(), backend.StartRequest{Key: alice(t), Profile: "big", WithoutGPUs: true,
		Env: map[string]string{"A": "b"}}); err != nil || h.request.Profile != "big" || !h.request.WithoutGPUs ||
		h.request.Env["A"] != "b" || h.request.Key != alice(t) {
		t.Errorf("asked for %+v, %v", h.request, err)
	}
	if b.Name(alice(t)) != "jupyter-alice.service" {
		t.Errorf("alice's server is called %s", b.Name(alice(t)))
	}
}

// TestEvents puts every result of systemd into words.
func TestEvents(t *testing.T) {
	row := launcherbus.Server{Key: alice(t), UID: 5001, Socket: "/run/s", TokenHash: "ff"}
	results := map[string]string{
		"": "ended by itself before it answered", "success": "ended by itself before it answered",
		"exit-code": "ended with exit status 3", "signal": "was ended by signal 3",
		"core-dump": "was ended by signal 3",
		"oom-kill":  "was ended because it used more memory than it may", "timeout": "took longer than its time-out",
		"watchdog": "ended: watchdog",
	}
	h := &host{}
	b := newBackend(h)
	for result, want := range results {
		row.State = launcherbus.Failed
		h.events = []launcherbus.Event{{Server: row, Result: result, Exit: 3}}
		synced := 0
		b.Watch(t.Context(), func(e backend.Event) {
			if e.Key != alice(t) || e.State != backend.Failed || e.TokenHash != "ff" ||
				e.Why.String() != "jupyter-alice.service "+want+"\nhint: journalctl -u jupyter-alice" {
				t.Errorf("%s: %+v", result, e)
			}
		}, func() { synced++ })
		if synced != 1 {
			t.Errorf("synced %d times", synced)
		}
	}
	row.State = launcherbus.Running
	h.events = []launcherbus.Event{{Server: row}}
	b.Watch(t.Context(), func(e backend.Event) {
		if e.State != backend.Running || e.Why != (backend.Why{}) || e.Address != backend.UnixSocket("/run/s", 5001) {
			t.Errorf("running: %+v", e)
		}
	}, func() {})
}

func TestDevices(t *testing.T) {
	since := time.Now().Truncate(time.Microsecond)
	load := func(f float64) gpu.Load { return gpu.Load{Known: true, Busy: f, Memory: 3} }
	h := &host{
		gpus: launcherbus.GPUs{Devices: []launcherbus.GPU{{Name: "x/y=0", Model: "M", Memory: 9, Health: "ill",
			Sharing: launcherbus.Shared, Places: 2, Profiles: []string{"p"}, Now: load(.1), Hour: load(.2),
			Busiest:   load(.3),
			Holders:   []launcherbus.Holder{launcherbus.NewHolder(alice(t), "p", since, 4)},
			Strangers: []gpu.Process{{PID: 7, UID: 5, Command: "c", Unit: "u", Memory: 2}}}},
			Broken: []launcherbus.BrokenSpec{{File: "f", Error: "e"}}, ToolError: "none"},
		persistent: []launcherbus.PersistentContainer{{Key: alice(t), Profile: "p", Outdated: true}},
		diskUse: launcherbus.DiskUse{Measuring: true, Measured: since,
			Storage: launcherbus.Tree{Bytes: 1, Files: 2, Unread: 3},
			Home:    launcherbus.Tree{Bytes: 4}, HomePath: "/h"},
	}
	h.gpus.MeasuredAt(since)
	b := newBackend(h)
	to := func(f float64) backend.Load { return backend.Load{Known: true, Busy: f, Memory: 3} }
	want := backend.GPUs{Devices: []backend.Device{{Name: "x/y=0", Model: "M", Memory: 9, Health: "ill",
		Sharing: backend.Shared, Places: 2, Profiles: []string{"p"}, Now: to(.1), Hour: to(.2), Busiest: to(.3),
		Holders:   []backend.Holder{{Key: alice(t), Profile: "p", Since: since, Processes: 4}},
		Strangers: []backend.Process{{PID: 7, UID: 5, Command: "c", Unit: "u", Memory: 2}}}},
		Broken: []backend.BrokenSpec{{File: "f", Error: "e"}}, Measured: since, ToolError: "none"}
	got, err := b.GPUs(t.Context())
	if diff := cmp.Diff(want, got, equal); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	h.err = io.EOF
	if _, err := b.GPUs(t.Context()); hint.Of(err) != "systemctl status gifford-launcher" {
		t.Errorf("a launcher that does not answer: next step %q", hint.Of(err))
	}
	h.err = nil
	all, err := b.Persistent(t.Context())
	if err != nil || len(all) != 1 || all[0] != (backend.PersistentContainer{Key: alice(t), Profile: "p",
		Outdated: true}) {
		t.Errorf("persistent: %+v, %v", all, err)
	}
	u, err := b.DiskUse(t.Context(), alice(t).User, false)
	if err != nil || u != (backend.DiskUse{Measuring: true, Measured: since,
		Storage: backend.Tree{Bytes: 1, Files: 2, Unread: 3}, Home: backend.Tree{Bytes: 4}, HomePath: "/h",
		Hint: "journalctl -u gifford-usage-alice"}) {
		t.Errorf("disk use: %+v, %v", u, err)
	}
}

// follow follows a log of which nothing more comes.
func follow(ctx context.Context, b *Backend, key ident.Key) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	return b.Follow(ctx, key, time.Now(), func(string) {})
}

func TestTail(t *testing.T) {
	h := &host{answers: []launcherbus.Log{
		{Lines: []string{"a", "jupyter-alice.service: Failed with result 'exit-code'."}}, {Lines: []string{"a"}}}}
	b := newBackend(h)
	since := time.Unix(1700000000, 5)
	lines, whole, err := b.Tail(t.Context(), alice(t), since, 20)
	if err != nil || !whole || len(lines) != 2 || len(h.logs) != 1 ||
		h.logs[0] != (launcherbus.LogRequest{Key: alice(t), Since: since.Add(-time.Second), Lines: 400}) {
		t.Errorf("tail: %v, %v, %v; asked for %+v", lines, whole, err, h.logs)
	}
	if _, whole, _ := b.Tail(t.Context(), alice(t), since, 20); whole {
		t.Error("a log without systemd's last words is whole")
	}
}

// TestTailWithoutTidies checks that what systemd writes of the processes that it kills does not hide why a server has
// failed.
func TestTailWithoutTidies(t *testing.T) {
	written := []string{"old", "cannot find the licence server"}
	for range 50 {
		written = append(written, "jupyter-alice.service: Killing process 7504 (podman) with signal SIGKILL.")
	}
	written = append(written, "jupyter-alice.service: Failed with result 'exit-code'.")
	b := newBackend(&host{answers: []launcherbus.Log{{Lines: written}}})
	lines, whole, err := b.Tail(t.Context(), alice(t), time.Now(), 2)
	if err != nil || !whole || len(lines) != 2 || lines[0] != "cannot find the licence server" {
		t.Errorf("%q, %v, %v", lines, whole, err)
	}
}

// TestFollow checks that each request goes on where the last one ended, and that Follow ends with its context.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answers: []launcherbus.Log{{Lines: []string{"one"}, Cursor: "1"}, {Cursor: "1"}, {Cursor: "1"},
			{Lines: []string{"two", "three"}, Cursor: "2"}}}
		ctx, cancel := context.WithCancel(t.Context())
		since := time.Now()
		var got []string
		err := newBackend(h).Follow(ctx, alice(t), since, func(line string) {
			got = append(got, line)
			if line == "three" {
				cancel()
			}
		})
		if diff := cmp.Diff([]string{"one", "two", "three"}, got); err != nil || diff != "" {
			t.Errorf("%v, lines (-want +got):\n%s", err, diff)
		}
		if pauses := time.Since(since); pauses != 500*time.Millisecond+time.Second+2*time.Second {
			t.Errorf("the pauses took %s", pauses)
		}
		for i, r := range h.logs {
			if want := []string{"", "1", "1", "1"}[i]; r.After != want || r.Key != alice(t) || !r.Since.Equal(since) ||
				r.Lines != launcherbus.MaxLogLines {
				t.Errorf("request %d: %+v", i, r)
			}
		}
		h.err = io.EOF
		if err := newBackend(h).Follow(t.Context(), alice(t), since, func(string) {}); err != io.EOF {
			t.Errorf("without an answer: %v", err)
		}
	})
}

// TestHarmlessLines checks that no line carries a control sequence to a page or terminal, or is endless.
func TestHarmlessLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for written, want := range map[string]string{"\t\033[31mred\033[0m  \u202ex\r": "\tred  x",
		long + "xx": long[:maxLine-1] + "…"} {
		h := &host{answers: []launcherbus.Log{{Lines: []string{written}}}}
		lines, _, err := newBackend(h).Tail(t.Context(), alice(t), time.Now(), 9)
		if err != nil || len(lines) != 1 || lines[0] != want {
			t.Errorf("%.40q came as %.80q, %v; want %.40q", written, lines, err, want)
		}
	}
}

func TestNew(t *testing.T) {
	log, observe := slog.New(slog.DiscardHandler), func(string, error, time.Duration) {}
	for name, cfg := range map[string]Config{"no log": {Observe: observe}, "no observer": {Log: log}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	for operation, want := range map[string]string{"DiskUse": "disk-use", "GPUs": "gpus", "Start": "start"} {
		if got := label(operation); got != want {
			t.Errorf("%s is observed as %s", operation, got)
		}
	}
	b, err := New(Config{log, observe})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}
