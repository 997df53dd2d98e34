package launcher

import (
	"context"
	"encoding/xml"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/wire/systembus"
)

const busConfig = `<busconfig><type>session</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow own="*"/><allow receive_sender="*"/></policy></busconfig>`

// privateBus runs a message bus for one test and returns what connects to it.
func privateBus(t *testing.T) func(context.Context) (*dbus.Conn, error) {
	t.Helper()
	address := privateAddress(t)
	return func(ctx context.Context) (*dbus.Conn, error) { return systembus.Dial(ctx, address) }
}

// privateAddress runs a message bus for one test and returns its address.
func privateAddress(t *testing.T) string {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Fatalf("there is no message bus to test with: %v\nhint: apt install dbus-daemon", err)
	}
	dir := t.TempDir()
	socket, config := filepath.Join(dir, "bus"), filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, []byte(strings.Replace(busConfig, "SOCKET", socket, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--config-file="+config, "--nofork", "--nopidfile")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// The socket's file is there before the daemon listens.
	for range 1000 {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "unix:path=" + socket
}

// onBus puts a launcher on a private bus and returns its client, with what the client observes.
func onBus(t *testing.T, h *host) (*launcherbus.Client, *dbus.Conn, func() []string) {
	t.Helper()
	dial := privateBus(t)
	bus, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	h.seenBy = func(e launcherbus.Event) {
		if err := emit(bus, e); err != nil {
			t.Error(err)
		}
	}
	hub := func(context.Context, string) (uint32, error) { return hubUID, nil }
	if err := export(bus, h.l.Methods(t.Context(), hub)); err != nil {
		t.Fatal(err)
	}
	second, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := export(second, map[string]any{}); err == nil || !strings.Contains(err.Error(), "another launcher runs") {
		t.Errorf("a second launcher: %v", err)
	}
	var mu sync.Mutex
	var observed []string
	client, err := launcherbus.New(launcherbus.Config{Dial: dial, Log: slog.New(slog.DiscardHandler),
		Observe: func(operation string, took time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			if took <= 0 {
				operation = "in no time: " + operation
			}
			if err != nil {
				operation += " " + string(codeOf(err))
			}
			observed = append(observed, operation)
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, bus, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(observed)
	}
}

// TestOverTheBus calls every operation through the client and a real bus.
func TestOverTheBus(t *testing.T) {
	h := gpuHost(t)
	c, _, observed := onBus(t, h)
	events, synced := make(chan launcherbus.Event, 10), make(chan bool, 10)
	watching, stop := context.WithCancel(t.Context())
	watched := make(chan bool)
	go func() {
		c.Watch(watching, func(e launcherbus.Event) { events <- e }, func() { synced <- true })
		close(watched)
	}()
	<-synced
	ctx, k := t.Context(), h.key("alice", "x")
	want := launcherbus.Server{Key: k, Profile: "keeps", State: launcherbus.Running, UID: h.uid,
		Socket: "/run/gifford-launcher/servers/alice/x/nb.sock", TokenHash: ident.HashToken("tok"),
		Devices: []string{"lab.example/gpu=0"}}
	if err := c.Start(ctx, launcherbus.StartRequest{Key: k, Profile: "keeps",
		Env: map[string]string{"JUPYTERHUB_API_TOKEN": "tok"}}); err != nil {
		t.Fatal(err)
	}
	same := func(what string, want, got any, err error) {
		t.Helper()
		diff := cmp.Diff(want, got, cmp.AllowUnexported(ident.User{}, ident.Server{}))
		if err != nil || diff != "" {
			t.Errorf("%s: %v want(-) got(+):\n%s", what, err, diff)
		}
	}
	same("the event", launcherbus.Event{Server: want}, <-events, nil)
	one, err := c.Get(ctx, k)
	same("Get", want, one, err)
	list, err := c.List(ctx)
	same("List", []launcherbus.Server{want}, list, err)
	if _, err := c.Get(ctx, h.key("bob", "")); codeOf(err) != launcherbus.NotFound {
		t.Errorf("Get of a server that does not run: %v", err)
	}
	persistent, err := c.Persistent(ctx)
	same("Persistent", []launcherbus.PersistentContainer{{Key: k, Profile: "keeps"}}, persistent, err)
	gpus, err := c.GPUs(ctx)
	if err != nil || !slices.Equal(heldBy(gpus, k), want.Devices) {
		t.Errorf("GPUs: %+v, %v", gpus, err)
	}
	profiles, err := c.Profiles(ctx)
	if err != nil || len(profiles) != 3 || !profiles[0].Default {
		t.Errorf("Profiles: %+v, %v", profiles, err)
	}
	public, err := c.Public(ctx)
	same("Public", []launcherbus.PublicPaths{}, public, err)
	images, err := c.Images(ctx)
	same("Images", launcherbus.Images{Servers: map[ident.Key]string{}, Profiles: map[string]string{}}, images, err)
	log, err := c.Log(ctx, launcherbus.LogRequest{Key: k, Since: time.Now(), Lines: 3})
	same("Log", launcherbus.Log{Lines: []string{k.Unit()}, Cursor: "s=1"}, log, err)
	use, err := c.DiskUse(ctx, k.User, false)
	same("DiskUse", launcherbus.DiskUse{HomePath: h.dir + "/cluster/alice"}, use, err)
	if err := c.Stop(ctx, k); err != nil {
		t.Error(err)
	}
	if e := <-events; e.State != launcherbus.Stopped || e.Key != k || e.Profile != "keeps" {
		t.Errorf("the last event is %+v", e)
	}
	if err := c.Reset(ctx, k); err != nil {
		t.Error(err)
	}
	if err := c.Start(ctx, launcherbus.StartRequest{Key: k, Profile: "none"}); codeOf(err) != launcherbus.NotFound ||
		!strings.Contains(err.Error(), "there is no profile") {
		t.Errorf("a start with a profile that is not there: %v", err)
	}
	stop()
	<-watched
	all := slices.Sorted(maps.Keys(operations()))
	seen := observed()
	for _, operation := range all {
		if !slices.Contains(seen, operation) {
			t.Errorf("%s was not called, or not observed: %v", operation, seen)
		}
	}
	if !slices.Contains(seen, "Get NotFound") {
		t.Errorf("no error was observed: %v", seen)
	}
}

// TestIntrospection asks the bus for what busctl(1) shows, and compares it with docs/security.md.
func TestIntrospection(t *testing.T) {
	_, bus, _ := onBus(t, newHost(t))
	var text string
	if err := bus.Object(launcherbus.BusName, launcherbus.ObjectPath).Call(
		"org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
		t.Fatal(err)
	}
	var node introspect.Node
	if err := xml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(node.Interfaces, func(i introspect.Interface) bool { return i.Name == launcherbus.Interface })
	if i < 0 {
		t.Fatalf("there is no %s in %s", launcherbus.Interface, text)
	}
	doc, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range node.Interfaces[i].Methods {
		if line := signature(m.Name, m.Args); !strings.Contains(string(doc), "| `"+line+" |") {
			t.Errorf("docs/security.md does not have %s", line)
		}
	}
	if got, want := len(node.Interfaces[i].Methods), len(operations()); got != want {
		t.Errorf("%d methods of %d", got, want)
	}
	signals := []introspect.Signal{{Name: "ServerChanged", Args: []introspect.Arg{
		{Name: "server", Type: "(ssssustsas)"}, {Name: "result", Type: "s"}, {Name: "exit", Type: "i"}}}}
	if diff := cmp.Diff(signals, node.Interfaces[i].Signals); diff != "" {
		t.Errorf("signals: want(-) got(+):\n%s", diff)
	}
}

// olderClient calls operations and receives signals as the hub of before did.
type olderClient struct {
	object  dbus.BusObject
	signals chan *dbus.Signal
}

func newOlderClient(t *testing.T, bus *dbus.Conn) olderClient {
	t.Helper()
	err := bus.AddMatchSignal(dbus.WithMatchInterface(launcherbus.Interface), dbus.WithMatchMember("Changed"))
	if err != nil {
		t.Fatal(err)
	}
	c := olderClient{bus.Object(launcherbus.BusName, launcherbus.ObjectPath), make(chan *dbus.Signal, 10)}
	bus.Signal(c.signals)
	return c
}

func (c olderClient) call(t *testing.T, operation string, args, replies []any) {
	t.Helper()
	if err := c.object.Call(launcherbus.Interface+"."+operation, 0, args...).Store(replies...); err != nil {
		t.Errorf("%s: %v", operation, err)
	}
}

// TestOlderHub talks to the launcher as the hub of version 0.1 did, which runs on where it could not be
// reloaded.
func TestOlderHub(t *testing.T) {
	h := gpuHost(t)
	today, bus, _ := onBus(t, h)
	c := newOlderClient(t, bus)
	k := h.key("alice", "")
	if err := today.Start(t.Context(), launcherbus.StartRequest{Key: k, Profile: "keeps"}); err != nil {
		t.Fatal(err)
	}
	want := []any{"alice", "", "running", "", int32(0)}
	select {
	case s := <-c.signals:
		if diff := cmp.Diff(want, s.Body); s.Name != launcherbus.Interface+".Changed" || diff != "" {
			t.Errorf("signal %s: want(-) got(+):\n%s", s.Name, diff)
		}
	case <-time.After(10 * time.Second):
		t.Error("there was no signal of before")
	}
	var containers []launcherbus.PersistentRow
	c.call(t, "Kept", nil, []any{&containers})
	if diff := cmp.Diff([]launcherbus.PersistentRow{{User: "alice", Profile: "keeps"}}, containers); diff != "" {
		t.Errorf("Kept: want(-) got(+):\n%s", diff)
	}
	var use launcherbus.DiskUseRow
	c.call(t, "Usage", []any{"alice", false}, []any{&use})
	if want := h.dir + "/cluster/alice"; use.HomePath != want {
		t.Errorf("Usage: %+v", use)
	}
	servers, profiles := []launcherbus.ServerImage{}, []launcherbus.ProfileImage{}
	c.call(t, "Images", nil, []any{&servers, &profiles})
}

// TestOlderLauncher asks a launcher of before, which runs on until the package has restarted it.
func TestOlderLauncher(t *testing.T) {
	dial := privateBus(t)
	bus, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := export(bus, map[string]any{
		"Kept": func() ([]launcherbus.PersistentRow, *dbus.Error) {
			return []launcherbus.PersistentRow{{User: "alice", Profile: "lab"}}, nil
		},
		"List": func() ([]launcherbus.ServerRow, *dbus.Error) {
			return []launcherbus.ServerRow{{User: "alice", Profile: "lab", State: "running"}}, nil
		},
		"Usage": func(user string, measure bool) (launcherbus.DiskUseRow, *dbus.Error) {
			return launcherbus.DiskUseRow{Measuring: measure, HomePath: "/cluster/" + user}, nil
		},
		"Images": func() ([]launcherbus.ServerImage, []launcherbus.ProfileImage, *dbus.Error) {
			return nil, []launcherbus.ProfileImage{{Profile: "lab", ID: "x"}}, nil
		},
	}); err != nil {
		t.Fatal(err)
	}
	c, err := launcherbus.New(launcherbus.Config{Dial: dial, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	key, err := ident.ParseKey("alice", "")
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Persistent(t.Context())
	if err != nil || len(all) != 1 || all[0].Key != key || all[0].Profile != "lab" {
		t.Errorf("Persistent: %+v, %v", all, err)
	}
	if use, err := c.DiskUse(t.Context(), key.User, true); err != nil || !use.Measuring ||
		use.HomePath != "/cluster/alice" {
		t.Errorf("DiskUse: %+v, %v", use, err)
	}
	if images, err := c.Images(t.Context()); err != nil || images.Profiles["lab"] != "x" {
		t.Errorf("Images: %+v, %v", images, err)
	}
	if s, err := c.Get(t.Context(), key); err != nil || s.Key != key || s.Profile != "lab" {
		t.Errorf("Get: %+v, %v", s, err)
	}
	none, err := ident.ParseKey("alice", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), none); codeOf(err) != launcherbus.NotFound {
		t.Errorf("Get of none: %v", err)
	}
	if _, err := c.Log(t.Context(), launcherbus.LogRequest{Key: key, Lines: 1}); err == nil ||
		!strings.Contains(err.Error(), "older than the hub") {
		t.Errorf("Log: %v", err)
	}
	if _, err := c.Profiles(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("an operation that nobody has: %v", err)
	}
}

// TestUIDOf asks the bus who is behind a name.
func TestUIDOf(t *testing.T) {
	bus, err := privateBus(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if uid, err := uidOf(bus)(t.Context(), bus.Names()[0]); err != nil || uid != uint32(os.Getuid()) {
		t.Errorf("the test is uid %d, %v", uid, err)
	}
	if uid, err := uidOf(bus)(t.Context(), ":1.99"); err == nil || uid != 1<<32-1 {
		t.Errorf("nobody is uid %d, %v", uid, err)
	}
}

// TestArguments checks that every argument and answer of an operation has a name.
func TestArguments(t *testing.T) {
	for name, op := range operations() {
		h := newHost(t)
		refuse := func(context.Context, string) (uint32, error) { return 0, errors.New("nobody") }
		method := h.l.Methods(t.Context(), refuse)[name]
		if want, got := len(zeros(method)), len(strings.Fields(op.args)); want != got {
			t.Errorf("%s has %d arguments and %d names of them", name, want, got)
		}
	}
}

// TestOffBus ends what the launcher does when the bus has closed its connection: it would go on deaf otherwise.
func TestOffBus(t *testing.T) {
	dial := privateBus(t)
	for name, tc := range map[string]struct {
		end  func(cancel context.CancelFunc, bus *dbus.Conn)
		want error
	}{
		"bus":     {func(_ context.CancelFunc, bus *dbus.Conn) { _ = bus.Close() }, errOffBus},
		"stopped": {func(cancel context.CancelFunc, _ *dbus.Conn) { cancel() }, nil},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		bus, err := dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = whileOnBus(ctx, bus, func(ctx context.Context) error {
			tc.end(cancel, bus)
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	failed := errors.New("failed")
	bus, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := whileOnBus(t.Context(), bus, func(context.Context) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("what the work says: %v", err)
	}
}
