// Package servers manages the life of every member's Jupyter server: it starts and stops them through a backend,
// follows their states, and sets the proxy's routes. What the backend reports is the truth: the package holds
// nothing that it could not read back after a restart, except the reason of a failed start. It must never know how a
// backend does its work, on which host, or with which tools.
package servers

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// runner is the backend: it runs servers somewhere. Errors for people are *backend.Error. After any other error the
// outcome of the request is unknown.
type runner interface {
	// Start returns when the server is queued or its process runs, whichever the backend waits for. A start that the
	// backend has begun goes on when ctx ends.
	Start(ctx context.Context, req backend.StartRequest) error
	Stop(ctx context.Context, key ident.Key) error
	Reset(ctx context.Context, key ident.Key) error
	reader
}

// reader reads what runs.
type reader interface {
	Get(ctx context.Context, key ident.Key) (backend.Server, error)
	List(ctx context.Context) ([]backend.Server, error)
	Name(key ident.Key) string // what the backend calls a server, for people and logs
}

// images brings the image of a profile to where the backend starts servers.
type images interface {
	// Ensure returns when the image is there. It calls step for what takes time.
	Ensure(ctx context.Context, profile string, step func(message string)) error
}

// router is the proxy's table.
type router interface {
	SetRoute(key ident.Key, to backend.Address)
	DeleteRoute(key ident.Key)
}

// prober asks a server whether it answers HTTP at path. It returns nil on any answer below 500 (JupyterHub's
// wait_for_http_server).
type prober interface {
	Probe(ctx context.Context, server backend.Address, path string) error
}

// output reads what servers write, which their backend records in a log.
type output interface {
	// Follow calls line for each line that was written to the server's log since the given time, until ctx ends.
	Follow(ctx context.Context, key ident.Key, since time.Time, line func(string)) error
	// Tail returns the last n lines that the server's log got since the given time. whole reports whether they have the
	// last words of a server that has failed, behind whose end the log may lag.
	Tail(ctx context.Context, key ident.Key, since time.Time, n int) (lines []string, whole bool, err error)
}

// Config is what a Manager needs. All fields are required except where noted.
type Config struct {
	Backend runner
	Images  images // optional; without it the backend does what is needed
	// Devices knows the devices that profiles need. Without it nobody is queued for devices: a start whose devices
	// others hold fails. Optional.
	Devices      devices
	Memory       memory // optional; without it a restart of the hub forgets the queue for devices
	Router       router
	Prober       prober
	Output       output
	Env          EnvConfig
	StartTimeout time.Duration // from the request until the backend has accepted it, a pull of the image included
	HTTPTimeout  time.Duration // from the running process to the first HTTP answer
	StopTimeout  time.Duration // for one stop
	Log          *slog.Logger
	// OnTransition is called after each change of a state with the server as it is now and the previous state. It must
	// return at once and not call the manager. Optional.
	OnTransition func(s Server, from State)
}

// Server is the state of one server at one moment.
type Server struct {
	Key          ident.Key
	Name         string // what the backend calls it, for people, logs and JSON
	State        State
	Profile      string    // the profile asked for; "" is the policy's default
	WithoutGPUs  bool      // it was asked for without the devices of its profile
	Devices      []string  // qualified CDI names of the devices that it holds
	Where        string    // the host and job in which it runs, for people; "" on the hub's own host
	Ends         time.Time // when the backend will end it; zero for never
	Since        time.Time // when State was entered
	Started      time.Time // when the server was asked for; zero when stopped
	LastActivity time.Time // zero when nothing was reported yet
	Failure      *Failure  // why State is Failed; nil otherwise
}

// Failure is the reason of a server's end in words, with the log that shows it.
type Failure struct {
	backend.Why
	Lines []string // the last lines of the server's log; may be empty
	At    time.Time
}

// Progress is one step of a start, in the form of JupyterHub's progress stream.
type Progress struct {
	Percent int
	Message string
	Ready   bool
	Failed  bool
	Queued  bool // it waits in a queue
}

// Manager owns the servers. Make it with New, call Sync before the first request is accepted, and Close at the end.
type Manager struct {
	cfg    Config
	wg     sync.WaitGroup
	ctx    context.Context // ends with Close; the life of starts and stops, which outlast requests
	cancel context.CancelFunc

	woken chan struct{} // holds one thing when the queue for devices is to be polled at once

	mu      sync.Mutex // guards all below
	servers map[ident.Key]*server
	count   map[State]int // of servers
	// queue is the servers that wait for devices, and those whose turn has come and that do not run yet.
	queue  map[ident.Key]*server
	leases []lease // that have ended and are not saved yet
}

// server is one entry of the table. Manager.mu guards it.
type server struct {
	Server
	run                          // the latest, which may have ended
	launching bool               // our own call of Backend.Start is under way; its answer ends the state Starting
	end       *backend.Event     // the server's end, when its news came before that answer
	launched  <-chan struct{}    // closed when the latest attempt to start it is over; nil when there was none
	cancel    context.CancelFunc // ends the start under way; nil when there is none
	reason    string             // why the hub gave the server up, while it ends
	progress  *broadcast
	unfollow  context.CancelFunc // ends the reading of the server's log for progress
	asked     time.Time          // when it joined the queue for devices; zero when it has not, or runs
	tried     string             // fingerprint of the devices when its turn came last
	wait      Queue              // how it stands, while it is Queued
}

// run is one run of a server at the backend.
type run struct {
	address   backend.Address
	tokenHash string
	over      bool // the backend has said that it ended; what it said before and comes later is old
}

// New makes a Manager that knows no servers yet.
func New(cfg Config) (*Manager, error) {
	if cfg.Backend == nil || cfg.Router == nil || cfg.Prober == nil || cfg.Output == nil || cfg.Log == nil {
		return nil, errors.New("cannot make the server manager: backend, router, prober, output and log are required")
	}
	if cfg.StartTimeout <= 0 || cfg.HTTPTimeout <= 0 || cfg.StopTimeout <= 0 {
		return nil, errors.New("cannot make the server manager: every time-out must be above zero")
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Manager{cfg: cfg, ctx: ctx, cancel: cancel, woken: make(chan struct{}, 1), servers: map[ident.Key]*server{},
		count: map[State]int{}, queue: map[ident.Key]*server{}}, nil
}

// Close ends the manager's work and waits for it. Servers continue to run.
func (m *Manager) Close() {
	m.cancel()
	m.wg.Wait()
}

// Get returns the state of one server; an unknown server is Stopped.
func (m *Manager) Get(key ident.Key) Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.servers[key]; ok {
		return s.Server
	}
	return Server{Key: key, Name: m.cfg.Backend.Name(key), State: Stopped}
}

// List returns all servers that are active or failed, ordered by key.
func (m *Manager) List() []Server {
	return m.list(func(ident.Key) bool { return true })
}

// Of returns the servers of one user that are active or failed, ordered by key.
func (m *Manager) Of(user ident.User) []Server {
	return m.list(func(key ident.Key) bool { return key.User == user })
}

func (m *Manager) list(match func(ident.Key) bool) []Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Server
	for key, s := range m.servers {
		if s.State != Stopped && match(key) {
			all = append(all, s.Server)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Key.String() < all[j].Key.String() })
	return all
}

// Count returns how many servers are in one of some states, which must not be Stopped.
func (m *Manager) Count(states ...State) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range states {
		n += m.count[s]
	}
	return n
}

// TokenOwner reports which active server a JUPYTERHUB_API_TOKEN belongs to.
func (m *Manager) TokenOwner(token string) (ident.Key, bool) {
	hash := ident.HashToken(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.servers {
		// Comparing hashes of secrets leaks nothing of the secrets by its timing.
		if s.State.Active() && s.tokenHash == hash {
			return key, true
		}
	}
	return ident.Key{}, false
}

// Touch moves the server's last activity forward to t.
func (m *Manager) Touch(key ident.Key, t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.servers[key]; ok && t.After(s.LastActivity) {
		s.LastActivity = t
	}
}

// entry returns the table's entry, made if missing. m.mu is held.
func (m *Manager) entry(key ident.Key) *server {
	s, ok := m.servers[key]
	if !ok {
		s = &server{Server: Server{Key: key, Name: m.cfg.Backend.Name(key), State: Stopped}, progress: newBroadcast()}
		m.servers[key] = s
	}
	return s
}

// about returns the fields that name a server in the log.
func (m *Manager) about(key ident.Key) []any {
	return []any{"user", key.User.String(), "server", key.Server.String(), "unit", m.cfg.Backend.Name(key)}
}

// log writes a message about a server.
func (m *Manager) log(level slog.Level, key ident.Key, message, event string, more ...any) {
	m.cfg.Log.Log(m.ctx, level, message, append(append([]any{"event", event}, m.about(key)...), more...)...)
}
