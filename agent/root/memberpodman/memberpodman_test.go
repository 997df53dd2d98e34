package memberpodman

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// fake is a systemd that runs one server and what is started beside it.
type fake struct {
	t       *testing.T
	dir     string // in place of /run
	server  systemd.Service
	known   error // what Service says of the server
	moveErr error
	mute    bool // the API dies before it listens

	specs    []transient.Spec
	moved    []string
	stopped  []string
	listener net.Listener
}

func (f *fake) Service(_ context.Context, name string) (systemd.Service, error) {
	if strings.HasPrefix(name, "jupyter-") {
		return f.server, f.known
	}
	if f.mute && len(f.moved) > 0 {
		return systemd.Service{}, nil
	}
	return systemd.Service{MainPID: 77}, nil
}

func (f *fake) StartTransient(_ context.Context, spec transient.Spec) (systemd.Wait, error) {
	f.specs = append(f.specs, spec)
	return func(context.Context) error { return nil }, nil
}

// Attach makes the API listen, as the real one does once it has been moved.
func (f *fake) Attach(_ context.Context, name, sub string, pids ...uint32) error {
	f.moved = append(f.moved, name+sub)
	if f.moveErr != nil || f.mute {
		return f.moveErr
	}
	socket := filepath.Join(f.dir, socketBelow(f.specs[0].Name))
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return err
	}
	var err error
	f.listener, err = net.Listen("unix", socket)
	return err
}

func (f *fake) Stop(_ context.Context, name string) (systemd.Wait, error) {
	f.stopped = append(f.stopped, name)
	if f.listener != nil {
		_ = f.listener.Close()
	}
	return func(context.Context) error { return nil }, nil
}

func newFake(t *testing.T) *fake {
	t.Helper()
	dir, err := os.MkdirTemp("", "mp") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &fake{t: t, dir: dir, server: systemd.Service{User: "alice", MainPID: 5, Environment: []string{
		"HOME=/h", "CONTAINERS_STORAGE_CONF=/s", "GIFFORD_UID=5001", "GIFFORD_PROFILE=lab",
		"GIFFORD_CONTAINER=jupyter-alice--gpu.lab", "GIFFORD_TOKEN_SHA256=00"}}}
}

// TestOpen checks when an API is opened, and that it never stays when it is not.
func TestOpen(t *testing.T) {
	key, err := ident.ParseKey("alice", "gpu")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(f *fake)
		want   string // in the error; "" for none
	}{
		"runs":               {func(*fake) {}, ""},
		"no unit":            {func(f *fake) { f.known = systemd.ErrNotLoaded }, ErrNotRunning.Error()},
		"ended":              {func(f *fake) { f.server.MainPID = 0 }, ErrNotRunning.Error()},
		"not the launcher's": {func(f *fake) { f.server.Environment = []string{"HOME=/h"} }, ErrNotRunning.Error()},
		"of another user":    {func(f *fake) { f.server.User = "root" }, ErrNotRunning.Error()},
		"no answer":          {func(f *fake) { f.known = errors.New("bus is gone") }, "bus is gone"},
		"cannot be moved":    {func(f *fake) { f.moveErr = errors.New("no such group") }, "no such group"},
		"dies":               {func(f *fake) { f.mute = true }, "it has ended"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			tt.change(f)
			api, err := open(t.Context(), f, key, "dora", f.dir)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if api.Container != "jupyter-alice--gpu.lab" ||
					!slices.Equal(f.moved, []string{"jupyter-alice:gpu.service/runtime"}) {
					t.Errorf("container %s, moved into %v", api.Container, f.moved)
				}
				api.Close()
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error is %v, want %q", err, tt.want)
			}
			if len(f.stopped) != len(f.specs) {
				t.Errorf("%d were started, %v stopped", len(f.specs), f.stopped)
			}
		})
	}
}

// TestService checks that the unit runs as the member, ends with the server and is not
// taken for one.
func TestService(t *testing.T) {
	key, err := ident.ParseKey(strings.Repeat("u", 32), strings.Repeat("s", 30))
	if err != nil {
		t.Fatal(err)
	}
	spec := service(key, newFake(t).server, "dora")
	values := map[string]any{}
	for _, p := range spec.Properties {
		values[p.Name] = p.Value
	}
	if values["User"] != key.User.String() || !cmp.Equal(values["BindsTo"], []string{key.Unit()}) {
		t.Errorf("user %v, bound to %v", values["User"], values["BindsTo"])
	}
	env, _ := values["Environment"].([]string)
	if _, ours := contract.ReadMetadata(key.Unit(), env); ours ||
		!slices.Equal(env, []string{"HOME=/h", "CONTAINERS_STORAGE_CONF=/s"}) {
		t.Errorf("environment %q", env)
	}
	if n := len("/run/" + socketBelow(spec.Name)); n > 107 {
		t.Errorf("the socket's path has %d bytes; sun_path takes 107", n)
	}
	if len(spec.Name) > 255 || spec.Name == service(key, newFake(t).server, "dora").Name {
		t.Errorf("the unit's name is %s", spec.Name)
	}
}

// TestConfig checks who a command runs as.
func TestConfig(t *testing.T) {
	if c := (Exec{Command: []string{"id"}, Root: true}).config(); c.User != "root" || c.Tty || !c.AttachStderr ||
		c.Privileged {
		t.Errorf("as root: %+v", c)
	}
	if c := (Exec{Terminal: true}).config(); c.User != "" || !c.Tty || c.AttachStderr {
		t.Errorf("as the notebook's user: %+v", c)
	}
}
