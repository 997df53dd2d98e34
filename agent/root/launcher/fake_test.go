package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/sweep"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

const hubUID = 990

// host is a made-up host: systemd that fails as a test says, a name service, directories.
type host struct {
	t    *testing.T
	dir  string
	l    *Launcher
	uid  uint32 // owner of what the test makes
	text string // launcher.toml

	mu     sync.Mutex
	units  map[string]systemd.State
	env    map[string][]string
	end    systemd.Outcome // of the next start, if result is not ""
	result string          // of the next start job; "" is done
	seen   []string        // credentials' content at the start
	events []launcherbus.Event
	reset  []string
	slow   int              // how often an ended unit is seen before systemd forgets it
	wait   chan struct{}    // if set, start jobs wait for it
	names  int              // how often the name service was asked
	slowly chan struct{}    // if set, the name service answers when it is closed
	fails  map[string]error // of the calls of that name
	gone   map[string]bool  // units whose start job a stop has canceled
	asked  int              // how often a single unit was asked for
	listed int              // how often all were
	swept  []string         // members whose retired directories were removed by a unit
	killed []string         // units
	// units that are stopped do not end by themselves
	stubborn    bool
	stopTimeout time.Duration
	stops       []string       // units
	left        map[string]int // processes that units have left
	// if set, what happens at a start that fails
	lostStart func()
	// For random lives: results of single units' start jobs, instead of result; those whose
	// start stays in the queue; and what is called for each event.
	results map[string]string
	queued  map[string]bool
	seenBy  func(launcherbus.Event)
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), uid: uint32(os.Getuid()), units: map[string]systemd.State{},
		env: map[string][]string{}, results: map[string]string{}, queued: map[string]bool{},
		gone: map[string]bool{}, left: map[string]int{}, fails: map[string]error{}}
	for _, d := range []string{"run", "state", "etc", "cluster", "cdi"} {
		if err := os.Mkdir(filepath.Join(h.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if h.uid == 0 {
		h.uid = 4242 // root may give directories away
	}
	for _, u := range []string{"alice", "bob", "hub"} {
		home := filepath.Join(h.dir, "cluster", u)
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(home, int(h.uid), os.Getgid()); err != nil {
			t.Fatal(err)
		}
	}
	h.text = fmt.Sprintf("[host]\nmin_uid = 1\nhome = %q\nunix_groups = [\"cgs\"]\n[profile.lab]\nimage = \"a\"\n",
		h.dir+"/cluster/{user}")
	h.launch()
	t.Cleanup(func() {
		if h.l.life.Err() == nil { // a test with a clock of its own has closed it, which only it can
			h.l.Close()
		}
	})
	return h
}

// launch starts a launcher on the host as it is.
func (h *host) launch() {
	h.t.Helper()
	l, err := New(Config{
		Policy:   func() (*policy.Policy, error) { return policy.Parse("launcher.toml", []byte(h.text)) },
		Accounts: h, Manager: h, Units: h, ImagesGID: uint32(os.Getgid()),
		Hub: accounts.Account{UID: hubUID, GID: uint32(os.Getgid())},
		Podman: func(context.Context) (contract.PodmanVersion, error) {
			return contract.PodmanVersion{Major: 5, Minor: 4}, h.fails["Podman"]
		},
		Journal: func(_ context.Context, r launcherbus.LogRequest) (launcherbus.Log, error) {
			return launcherbus.Log{Lines: []string{r.Key.Unit()}, Cursor: "s=1"}, h.fails["Journal"]
		},
		RunDir: filepath.Join(h.dir, "run"), StateDir: filepath.Join(h.dir, "state"),
		EtcDir: filepath.Join(h.dir, "etc"), Store: filepath.Join(h.dir, "store"),
		CDI: []string{filepath.Join(h.dir, "cdi")}, GPUState: filepath.Join(h.dir, "gpus.json"),
		Log: slog.New(slog.DiscardHandler),
		Emit: func(e launcherbus.Event) {
			if h.seenBy != nil {
				h.seenBy(e)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.l = l
}

// Lookup knows everybody but "nosuch" and "root"; all have the uid of the test, so that
// it can make their directories.
func (h *host) Lookup(_ context.Context, u ident.User) (accounts.Account, error) {
	h.mu.Lock()
	h.names++
	h.mu.Unlock()
	if h.slowly != nil {
		<-h.slowly
	}
	switch u.String() {
	case "nosuch":
		return accounts.Account{}, fmt.Errorf("account: %w", accounts.ErrNotFound)
	case "root":
		return accounts.Account{User: u, Groups: []uint32{6001}}, nil
	case "away":
		return accounts.Account{}, fmt.Errorf("no answer: secret detail")
	case "carol":
		return accounts.Account{User: u, UID: h.uid, Groups: []uint32{1}}, nil
	}
	return accounts.Account{User: u, UID: h.uid, GID: uint32(os.Getgid()), Groups: []uint32{6001}}, nil
}

func (h *host) Group(_ context.Context, name string) (accounts.Group, error) {
	h.mu.Lock()
	h.names++
	h.mu.Unlock()
	if name == "away" {
		return accounts.Group{}, fmt.Errorf("no answer: secret detail")
	}
	if name != "cgs" {
		return accounts.Group{}, fmt.Errorf("group: %w", accounts.ErrNotFound)
	}
	return accounts.Group{Name: name, GID: 6001}, nil
}

func (h *host) EnableLinger(context.Context, uint32) error { return h.fails["EnableLinger"] }

// Start runs what the package's unit for a member's retired directories runs.
func (h *host) Start(_ context.Context, name string) (systemd.Wait, error) {
	user, isSweep := strings.CutPrefix(strings.TrimSuffix(name, ".service"), "gifford-sweep@")
	if !isSweep {
		return nil, fmt.Errorf("no such unit: %s", name)
	}
	h.mu.Lock()
	h.swept = append(h.swept, user)
	h.mu.Unlock()
	if err := h.fails["Sweep"]; err != nil {
		return nil, err
	}
	member, err := ident.ParseUser(user)
	if err != nil {
		return nil, err
	}
	done := errors.Join(sweep.Mounts(filepath.Join(h.dir, "run"), member),
		sweep.Retired(filepath.Join(h.dir, "run"), member))
	return func(context.Context) error { return done }, nil
}

func (h *host) StartTransient(_ context.Context, spec transient.Spec) (systemd.Wait, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.units[spec.Name] != "" {
		return nil, fmt.Errorf("unit exists")
	}
	if err := h.fails["StartTransient"]; err != nil {
		if h.lostStart != nil {
			h.lostStart()
		}
		return nil, err
	}
	if h.results[spec.Name] == "no job" {
		return nil, fmt.Errorf("no answer")
	}
	h.units[spec.Name] = systemd.Activating
	if h.results[spec.Name] == "queued" {
		h.units[spec.Name], h.queued[spec.Name] = systemd.Inactive, true
	}
	for _, p := range spec.Properties {
		if env, ok := p.Value.([]string); ok && p.Name == "Environment" {
			h.env[spec.Name] = env
		}
	}
	entries, _ := os.ReadDir(filepath.Join(h.dir, "run/credentials"))
	for _, e := range entries {
		data, _ := os.ReadFile(filepath.Join(h.dir, "run/credentials", e.Name()))
		h.seen = append(h.seen, e.Name()+": "+string(data))
	}
	return func(ctx context.Context) error { return h.finish(ctx, spec.Name) }, nil
}

func (h *host) finish(ctx context.Context, name string) error {
	if h.wait != nil {
		<-h.wait
	}
	h.mu.Lock()
	result := h.result
	if r, ok := h.results[name]; ok {
		result = r
	}
	canceled := h.gone[name]
	delete(h.gone, name)
	h.mu.Unlock()
	if canceled {
		return &systemd.JobError{What: "start " + name, Result: "canceled"}
	}
	if result == "queued" {
		<-ctx.Done() // the launcher ends before the job does
		return ctx.Err()
	}
	if result == "" {
		h.change(ctx, name, systemd.Active)
		return nil
	}
	if result == "dependency" { // the unit itself has not begun, and systemd forgets it
		h.mu.Lock()
		delete(h.units, name)
		h.mu.Unlock()
	} else {
		h.change(ctx, name, systemd.Failed)
	}
	return &systemd.JobError{What: "start " + name, Result: result}
}

func (h *host) change(ctx context.Context, name string, s systemd.State) {
	h.mu.Lock()
	h.units[name] = s
	delete(h.queued, name)
	if s == systemd.Inactive && h.slow == 0 {
		delete(h.units, name)
	}
	h.mu.Unlock()
	h.l.Changed(ctx, systemd.Change{Name: name, State: s})
}

func (h *host) Stop(_ context.Context, name string) (systemd.Wait, error) {
	h.mu.Lock()
	h.stops = append(h.stops, name)
	h.mu.Unlock()
	if err := h.fails["Stop"]; err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := h.fails["StopJob"]; err != nil {
			return err
		}
		if h.stubborn {
			return h.resist(ctx, name)
		}
		h.mu.Lock()
		unbegun := h.queued[name]
		h.gone[name] = unbegun || h.units[name] == systemd.Activating // systemd cancels the start job
		if unbegun {
			delete(h.units, name)
			delete(h.queued, name)
		}
		h.mu.Unlock()
		if unbegun { // its state does not change
			return nil
		}
		h.change(ctx, name, systemd.Inactive)
		return nil
	}, nil
}

// Kill ends a unit that a stop has not ended, unless its processes cannot be killed.
func (h *host) Kill(ctx context.Context, name string) error {
	h.mu.Lock()
	h.killed = append(h.killed, name)
	err, ends := h.fails["Kill"], h.units[name] == systemd.Deactivating
	h.mu.Unlock()
	if ends && err == nil {
		h.change(ctx, name, systemd.Failed)
	}
	return err
}

func (h *host) Processes(_ context.Context, name string) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.units[name] == "" {
		return 0, systemd.ErrNotLoaded
	}
	return h.left[name], h.fails["Processes"]
}

// resist is the stop of a unit that does not end by itself.
func (h *host) resist(ctx context.Context, name string) error {
	h.change(ctx, name, systemd.Deactivating)
	for {
		h.mu.Lock()
		ended := h.units[name] != systemd.Deactivating
		h.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (h *host) ResetFailed(_ context.Context, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fails["ResetFailed"]; err != nil {
		return err
	}
	h.reset = append(h.reset, name)
	delete(h.units, name)
	return nil
}

func (h *host) Get(_ context.Context, name string) (systemd.Unit, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if err := h.fails["Get"]; err != nil {
		return systemd.Unit{}, err
	}
	if h.units[name] == "" {
		return systemd.Unit{}, systemd.ErrNotLoaded
	}
	u := systemd.Unit{Status: systemd.Status{Name: name, State: h.units[name], Queued: h.queued[name]},
		Environment: h.env[name], StopTimeout: h.stopTimeout}
	if u.State == systemd.Inactive && !u.Queued {
		if h.slow--; h.slow == 0 {
			delete(h.units, name)
		}
	}
	return u, nil
}

func (h *host) List(_ context.Context, pattern string) ([]systemd.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listed++
	if err := h.fails["List"]; err != nil {
		return nil, err
	}
	var all []systemd.Status
	for name, state := range h.units {
		if ok, err := path.Match(pattern, name); err != nil {
			return nil, err
		} else if ok {
			all = append(all, systemd.Status{Name: name, State: state, Queued: h.queued[name]})
		}
	}
	return all, nil
}

func (h *host) Outcome(context.Context, string) (systemd.Outcome, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end, h.fails["Outcome"]
}

func (h *host) key(user, server string) ident.Key {
	h.t.Helper()
	k, err := ident.ParseKey(user, server)
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

func (h *host) states() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var words []string
	for _, e := range h.events {
		words = append(words, e.Key.String()+" "+string(e.State))
	}
	return strings.Join(words, ", ")
}
