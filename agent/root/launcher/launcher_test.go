package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// call calls an exported method as the bus would, with arguments of the right types.
func call(t *testing.T, method any, args ...any) *dbus.Error {
	t.Helper()
	in := []reflect.Value{reflect.ValueOf(dbus.Sender(":1.7"))}
	for _, a := range args {
		in = append(in, reflect.ValueOf(a))
	}
	out := reflect.ValueOf(method).Call(in)
	err, ok := out[len(out)-1].Interface().(*dbus.Error)
	if !ok {
		t.Fatal("the last result is no D-Bus error")
	}
	return err
}

func zeros(method any) []any {
	var args []any
	for i := 1; i < reflect.TypeOf(method).NumIn(); i++ {
		args = append(args, reflect.Zero(reflect.TypeOf(method).In(i)).Interface())
	}
	return args
}

// signature is an operation as docs/security.md writes it.
func signature(name string, args []introspect.Arg) string {
	var in, out []string
	for _, a := range args {
		if a.Direction == "in" {
			in = append(in, a.Type+" "+a.Name)
		} else {
			out = append(out, "`"+a.Type+"`")
		}
	}
	s := name + "(" + strings.Join(in, ", ") + ")`"
	if len(out) > 0 {
		s += " → " + strings.Join(out, ", ")
	}
	return s
}

// TestOperations checks that every operation says who may call it, is in
// docs/security.md, and turns everybody else away before it does anything.
func TestOperations(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, op := range operations() {
		if op.callers == nil {
			t.Fatalf("%s does not say who may call it", name)
		}
		if line := "| `" + signature(name, op.arguments()) + " |"; !strings.Contains(string(doc), line) {
			t.Errorf("docs/security.md has no line that begins with %s", line)
		}
		callers := map[string]struct {
			uid   uint32
			err   error
			mayDo bool
		}{
			"root": {0, nil, true}, "hub": {hubUID, nil, true}, "member": {5001, nil, false},
			"nobody":          {65534, nil, false},
			"unknown":         {1<<32 - 1, errors.New("no such name"), false},
			"unknown as root": {0, errors.New("no such name"), false},
		}
		for who, c := range callers {
			t.Run(name+" by "+who, func(t *testing.T) {
				h := newHost(t)
				h.text = "not a policy" // whoever gets through meets this, or an empty name
				method := h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) {
					return c.uid,
						c.err
				})[name]
				err := call(t, method, zeros(method)...)
				through := err == nil || strings.Contains(err.Error(), "empty user name") ||
					strings.Contains(err.Error(), "policy")
				if through != c.mayDo {
					t.Errorf("answer is %v", err)
				}
			})
		}
	}
}

// TestHostileArguments sends what a hub that was taken over could; nothing of it may
// reach systemd or the disk.
func TestHostileArguments(t *testing.T) {
	big := strings.Repeat("x", maxValue+1)
	many := map[string]string{}
	for i := range maxVariables + 1 {
		many["JUPYTERHUB_"+strings.Repeat("A", i+1)] = ""
	}
	env := func(name, value string) map[string]string { return map[string]string{name: value} }
	tests := map[string]struct {
		user, server, profile string
		env                   map[string]string
		code                  launcherbus.Code
	}{
		"empty user":        {"", "", "", nil, launcherbus.Refused},
		"path as user":      {"../../etc", "", "", nil, launcherbus.Refused},
		"unit as user":      {"alice.service\n[Service]", "", "", nil, launcherbus.Refused},
		"option as user":    {"--help", "", "", nil, launcherbus.Refused},
		"colon in user":     {"alice:x", "", "", nil, launcherbus.Refused},
		"path as server":    {"alice", "../bob", "", nil, launcherbus.Refused},
		"percent in server": {"alice", "%h", "", nil, launcherbus.Refused},
		"root":              {"root", "", "", nil, launcherbus.Refused},
		"no account":        {"nosuch", "", "", nil, launcherbus.NoAccount},
		"no group":          {"carol", "", "", nil, launcherbus.Refused},
		"no home":           {"dave", "", "", nil, launcherbus.HomeNotCovered},
		"profile":           {"alice", "", "../x", nil, launcherbus.NotFound},
		"PATH":              {"alice", "", "", env("PATH", "/tmp"), launcherbus.Refused},
		"LD_PRELOAD":        {"alice", "", "", env("LD_PRELOAD", "/tmp/x.so"), launcherbus.Refused},
		"lower case":        {"alice", "", "", env("jupyterhub_x", ""), launcherbus.Refused},
		"name with line":    {"alice", "", "", env("JUPYTERHUB_A\nPATH", ""), launcherbus.Refused},
		"value with line":   {"alice", "", "", env("JUPYTERHUB_A", "x\nPATH=/tmp"), launcherbus.Refused},
		"value with NUL":    {"alice", "", "", env("JUPYTERHUB_A", "x\x00"), launcherbus.Refused},
		"value not UTF-8":   {"alice", "", "", env("JUPYTERHUB_A", "\xff"), launcherbus.Refused},
		"big value":         {"alice", "", "", env("JUPYTERHUB_A", big), launcherbus.Refused},
		"many values":       {"alice", "", "", many, launcherbus.Refused},
		"name service away": {"away", "", "", nil, launcherbus.Internal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			methods := h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) { return hubUID, nil })
			err := call(t, methods["Start"], tt.user, tt.server, tt.profile, false, tt.env)
			if err == nil || err.Name != launcherbus.Interface+".Error."+string(tt.code) {
				t.Fatalf("answer is %v, want %s", err, tt.code)
			}
			if strings.Contains(err.Error(), "secret detail") {
				t.Errorf("the answer has a cause that is for the log alone: %v", err)
			}
			if len(h.units) != 0 {
				t.Errorf("units were started: %v", h.units)
			}
			if left := leftIn(t, h.dir); left != "" {
				t.Errorf("files are left: %s", left)
			}
		})
	}
}

// leftIn names the files that servers have on the host.
func leftIn(t *testing.T, dir string) string {
	t.Helper()
	var left []string
	for _, pattern := range []string{"run/credentials/*", "run/servers/*/*", "state/users/*/*", "etc/*lock*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if filepath.Base(f) != ".pwd.lock" {
				left = append(left, f)
			}
		}
	}
	return strings.Join(left, " ")
}

func start(h *host, k ident.Key) error {
	return h.l.Start(h.t.Context(), launcherbus.StartRequest{Key: k,
		Env: map[string]string{"JUPYTERHUB_API_TOKEN": "tok"}})
}

func codeOf(err error) launcherbus.Code {
	var e *launcherbus.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestLife starts, lists and stops a server, and checks what is left of it.
func TestLife(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "gpu")
	if err := start(h, k); err != nil {
		t.Fatal(err)
	}
	if len(h.seen) != 1 || !strings.HasPrefix(h.seen[0], "jupyter-alice:gpu.service.env: ") ||
		!strings.Contains(h.seen[0], "JUPYTERHUB_API_TOKEN=tok\n") {
		t.Errorf("credentials at the start: %q", h.seen)
	}
	info, err := os.Stat(filepath.Join(h.dir, "run/servers/alice/gpu"))
	if err != nil || info.Mode().Perm() != 0o710 || info.Mode()&fs.ModeSetgid == 0 {
		t.Errorf("the socket's directory is %v, %v", info.Mode(), err)
	}
	if found, _ := filepath.Glob(filepath.Join(h.dir, "run/credentials/*")); len(found) != 0 {
		t.Errorf("credentials are left: %v", found)
	}
	rows, err := h.l.List(t.Context())
	if err != nil || len(rows) != 1 || rows[0].User != "alice" || rows[0].Server != "gpu" ||
		rows[0].State != "running" || rows[0].TokenHash != ident.HashToken("tok") {
		t.Errorf("list: %+v, %v", rows, err)
	}
	if err := start(h, k); codeOf(err) != launcherbus.AlreadyExists {
		t.Errorf("second start: %v", err)
	}
	if err := h.l.Stop(t.Context(), k); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := h.l.Stop(t.Context(), k); codeOf(err) != launcherbus.NotFound {
		t.Errorf("second stop: %v", err)
	}
	h.l.Close()
	if left := leftIn(t, h.dir); left != "" {
		t.Errorf("files are left: %s", left)
	}
	if got, want := h.states(), "alice:gpu running, alice:gpu stopped"; got != want {
		t.Errorf("events: %s; want %s", got, want)
	}
}

// TestStartFails checks the words for each way to fail, and that no unit is left.
func TestStartFails(t *testing.T) {
	tests := map[string]struct {
		outcome systemd.Outcome
		result  string
		want    string
	}{
		"image missing": {systemd.Outcome{Result: "exit-code", PreExit: 71}, "failed",
			"image \"a\" is not on this host"},
		"exit":     {systemd.Outcome{Result: "exit-code", Exit: 3}, "failed", "exit status 3"},
		"signal":   {systemd.Outcome{Result: "signal", Exit: 9}, "failed", "SIGKILL"},
		"time-out": {systemd.Outcome{Result: "timeout"}, "failed", "not ready within 2m0s"},
		"memory":   {systemd.Outcome{Result: "oom-kill"}, "failed", "more memory"},
		"other":    {systemd.Outcome{Result: "resources"}, "failed", "systemd's result is resources"},
		"stopped":  {systemd.Outcome{}, "canceled", "stopped before it was ready"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.end, h.result = tt.outcome, tt.result
			err := start(h, h.key("bob", ""))
			if codeOf(err) != launcherbus.StartFailed || !strings.Contains(hint.Text(err), tt.want) ||
				!strings.HasSuffix(hint.Text(err), "\nhint: journalctl -u jupyter-bob") {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			h.l.Close()
			if len(h.units) != 0 || leftIn(t, h.dir) != "" {
				t.Errorf("left: units %v, files %s", h.units, leftIn(t, h.dir))
			}
			h.result = ""
			if err := start(h, h.key("bob", "")); err != nil {
				t.Errorf("the next start: %v", err)
			}
		})
	}
}

// TestNoView checks a start whose view of the images could not be made, and what the view
// is told.
func TestNoView(t *testing.T) {
	h := newHost(t)
	h.result = "dependency"
	err := start(h, h.key("bob", ""))
	if codeOf(err) != launcherbus.StartFailed || !strings.HasSuffix(hint.Text(err),
		"\nhint: journalctl -u gifford-view@bob.service") {
		t.Errorf("error is %v", err)
	}
	h.l.wg.Wait()
	if left := leftIn(t, h.dir); left != "" {
		t.Errorf("left: %s", left)
	}
	h.result = ""
	if err := start(h, h.key("bob", "")); err != nil {
		t.Fatalf("the next start: %v", err)
	}
	name := filepath.Join(h.dir, "run", contract.ViewRequestName(h.key("bob", "")))
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the request: %v, %v", info, err)
	}
	var got contract.ViewRequest
	data, _ := os.ReadFile(name)
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := contract.ViewRequest{UID: h.uid, GID: uint32(os.Getgid()), Mapping: contract.MapImage, Image: "a",
		Share: true}
	if got != want {
		t.Errorf("the request says %+v, want %+v", got, want)
	}
}

// TestEndsByItself checks that an end is announced and cleared away, and that units of others
// are left alone.
func TestEndsByItself(t *testing.T) {
	h := newHost(t)
	if err := start(h, h.key("bob", "")); err != nil {
		t.Fatal(err)
	}
	h.end = systemd.Outcome{Result: "signal", Exit: 9}
	h.change(t.Context(), "jupyter-hub.service", systemd.Failed)
	h.change(t.Context(), "jupyter-bob.service", systemd.Deactivating)
	h.change(t.Context(), "jupyter-bob.service", systemd.Failed)
	h.l.Close()
	last := h.events[len(h.events)-1]
	if last.State != launcherbus.Failed || last.Result != "signal" || last.Exit != 9 {
		t.Errorf("last event: %+v", last)
	}
	if len(h.reset) != 1 || h.reset[0] != "jupyter-bob.service" {
		t.Errorf("units reset: %v", h.reset)
	}
	if err := h.l.Stop(t.Context(), h.key("hub", "")); codeOf(err) != launcherbus.NotFound {
		t.Errorf("stop of another's unit: %v", err)
	}
	if err := start(h, h.key("hub", "")); codeOf(err) == "" {
		t.Errorf("start over another's unit: %v", err)
	}
	if left := leftIn(t, h.dir); left != "" {
		t.Errorf("files are left: %s", left)
	}
}

// TestAdopt checks what a launcher does with what an earlier one has left.
func TestAdopt(t *testing.T) {
	h := newHost(t)
	ours := []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
	h.units = map[string]systemd.State{"jupyter-a.service": systemd.Active, "jupyter-b.service": systemd.Failed,
		"jupyter-c.service": systemd.Failed}
	h.env = map[string][]string{"jupyter-a.service": ours, "jupyter-b.service": ours}
	for _, dir := range []string{"a", "b", "gone"} {
		if err := os.MkdirAll(filepath.Join(h.dir, "run/servers", dir, "_", "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.dir, "run/credentials/jupyter-"+dir+".service.env"), nil,
			0o600); err != nil {
			t.Fatal(err)
		}
	}
	known, err := h.l.Adopt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.l.Tidy(t.Context(), known)
	h.l.Close()
	if len(h.reset) != 1 || h.reset[0] != "jupyter-b.service" || h.states() != "b failed" {
		t.Errorf("reset %v, events %s", h.reset, h.states())
	}
	want := filepath.Join(h.dir, "run/credentials/jupyter-a.service.env") + " " +
		filepath.Join(h.dir, "run/servers/a/_")
	if left := leftIn(t, h.dir); left != want {
		t.Errorf("left: %s; want %s", left, want)
	}
}

// TestStopWhileStarting checks that a stop does not wait for the start.
func TestStopWhileStarting(t *testing.T) {
	h := newHost(t)
	h.wait = make(chan struct{})
	h.result = "canceled"
	done := make(chan error, 1)
	go func() { done <- start(h, h.key("alice", "")) }()
	for h.l.server(h.key("alice", "")) == nil {
		select {
		case err := <-done:
			t.Fatalf("never started: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := h.l.Stop(t.Context(), h.key("alice", "")); err != nil {
		t.Errorf("stop: %v", err)
	}
	close(h.wait)
	if err := <-done; codeOf(err) != launcherbus.StartFailed || !strings.Contains(err.Error(), "stopped before") {
		t.Errorf("start: %v", err)
	}
}

// TestStopWhileNamesAreAsked checks that a stop during the part of a start that asks the name service is not lost: the
// stop succeeds and nothing runs afterwards.
func TestStopWhileNamesAreAsked(t *testing.T) {
	h := newHost(t)
	h.slowly = make(chan struct{})
	k := h.key("alice", "")
	started, stopped := make(chan error, 1), make(chan error, 1)
	go func() { started <- start(h, k) }()
	for asked := 0; asked == 0; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		asked = h.names
		h.mu.Unlock()
	}
	h.wait = make(chan struct{}) // the start job is under way when the stop comes
	go func() { stopped <- h.l.Stop(t.Context(), k) }()
	time.Sleep(20 * time.Millisecond) // the stop takes its time to see, or not to see, the start
	close(h.slowly)
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	close(h.wait)
	if err := <-started; codeOf(err) != launcherbus.StartFailed {
		t.Errorf("start: %v", err)
	}
	if len(h.units) != 0 {
		t.Errorf("units run: %v", h.units)
	}
}

// TestStartAfterStop starts a server that has ended just now, whose unit systemd has not
// forgotten yet.
func TestStartAfterStop(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	start := func() {
		t.Helper()
		if err := h.l.Start(t.Context(), launcherbus.StartRequest{Key: k}); err != nil {
			t.Fatal(err)
		}
	}
	start()
	h.slow = 3
	if err := h.l.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	start()
	if h.slow != 0 || h.states() != "alice running, alice stopped, alice running" {
		t.Errorf("seen %d times less, %s", h.slow, h.states())
	}
}
