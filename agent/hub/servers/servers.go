// Package servers keeps the life of every member's Jupyter server: it starts and
// stops them through a launcher, follows what becomes of their units, and gives the
// proxy its routes. The launcher's word is the truth: the package holds nothing that
// it could not read back after a restart, but for the reason of a failed start.
// It must never know how a launcher does its work, on which host, or with which tools.
package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// runner is the backend: it runs servers somewhere. Errors for people are *backend.Error; after another error nobody
// knows what became of the request.
type runner interface {
	// Start returns when the server is accepted or its process runs, whichever the backend waits for. A start that
	// the backend has begun goes on when ctx ends.
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

// images brings the image of a profile to where the launcher starts servers.
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

// output reads what servers write, which their backend keeps in a log.
type output interface {
	// Follow calls line for each line that the server's log got since the given time, until ctx ends.
	Follow(ctx context.Context, key ident.Key, since time.Time, line func(string)) error
	// Tail returns the last n lines that the server's log got since the given time. whole reports whether they have the
	// last words of a server that has failed, behind whose end the log may lag.
	Tail(ctx context.Context, key ident.Key, since time.Time, n int) (lines []string, whole bool, err error)
}

// Config is what a Manager needs. All fields are required but where said.
type Config struct {
	Backend runner
	Images  images // optional; without it the backend does what is needed
	// Devices knows the devices that profiles need. Without it a start whose devices others
	// hold waits for ever; optional where no profile needs any.
	Devices devices
	Memory  memory // optional; without it a restart of the hub forgets who waits
	// Ends returns the end of a server that was announced; optional.
	Ends         func(ident.Key) (time.Time, bool)
	Router       router
	Prober       prober
	Output       output
	Env          EnvConfig
	StartTimeout time.Duration // from the request to an active unit, a pull of the image included
	HTTPTimeout  time.Duration // from the active unit to the first HTTP answer
	StopTimeout  time.Duration // for one stop
	Log          *slog.Logger
	// OnChange is called after each change with the number of active servers; optional.
	OnChange func(active int)
	// OnTransition is called after each change with the server as it is now and the state
	// that it was in; optional. It must return at once and not call the manager.
	OnTransition func(s Server, from State)
}

// Server is what is known of one server at one moment.
type Server struct {
	Key          ident.Key
	State        State
	Profile      string    // the profile asked for; "" is the policy's default
	WithoutGPUs  bool      // it was asked for without the devices of its profile
	Devices      []string  // qualified CDI names of the devices that it holds
	Since        time.Time // when State was entered
	Started      time.Time // when the unit was asked for; zero when stopped
	LastActivity time.Time // zero when nothing was reported yet
	Failure      *Failure  // why State is Failed; nil otherwise
}

// Failure is the reason of a server's end in words, with the log that shows it.
type Failure struct {
	Message string   // what failed and why, for people
	Lines   []string // the last lines of the unit's journal; may be empty
	At      time.Time
}

// Progress is one step of a start, in the form of JupyterHub's progress stream.
type Progress struct {
	Percent int
	Message string
	Ready   bool
	Failed  bool
	Queued  bool // it waits in the line for devices
}

// Manager owns the servers. Make it with New, call Sync before the first request is
// accepted, and Close at the end.
type Manager struct {
	cfg    Config
	wg     sync.WaitGroup
	ctx    context.Context // ends with Close; the life of starts and stops, which outlast requests
	cancel context.CancelFunc

	wake chan struct{} // the line is to be looked at

	mu      sync.Mutex // guards all below
	servers map[ident.Key]*server
	leases  []lease // that have ended and are not written down yet
}

// server is one entry of the table. Manager.mu guards it.
type server struct {
	Server
	address   backend.Address
	tokenHash string
	launching bool               // our own call of Launcher.Start is under way; its answer ends the state Starting
	end       *backend.Event     // the unit's end, when its news came before that answer
	cancel    context.CancelFunc // ends the start under way; nil when there is none
	reason    string             // why the hub gave the unit up, while it ends
	progress  *broadcast
	unfollow  context.CancelFunc // ends the reading of the unit's journal for progress
	asked     time.Time          // when it joined the line; zero when it has not, or runs
	tried     string             // what was seen of the devices when its turn came last
	wait      Wait               // how it stands, while it is Queued
}

// New makes a Manager that knows no servers yet.
func New(cfg Config) (*Manager, error) {
	if cfg.Backend == nil || cfg.Router == nil || cfg.Prober == nil || cfg.Output == nil || cfg.Log == nil {
		return nil, fmt.Errorf("cannot make the server manager: backend, router, prober, output and log are required")
	}
	if cfg.StartTimeout <= 0 || cfg.HTTPTimeout <= 0 || cfg.StopTimeout <= 0 {
		return nil, fmt.Errorf("cannot make the server manager: every time-out must be above zero")
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Manager{cfg: cfg, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), servers: map[ident.Key]*server{}},
		nil
}

// Close ends what the manager does and waits for it. Units are left alone.
func (m *Manager) Close() {
	m.cancel()
	m.wg.Wait()
}

// Get returns what is known of one server; a server never heard of is Stopped.
func (m *Manager) Get(key ident.Key) Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.servers[key]; ok {
		return s.Server
	}
	return Server{Key: key, State: Stopped}
}

// List returns all servers that are active or failed, ordered by key.
func (m *Manager) List() []Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Server
	for _, s := range m.servers {
		if s.State != Stopped {
			all = append(all, s.Server)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Key.String() < all[j].Key.String() })
	return all
}

// Of returns the servers of one user that are active or failed.
func (m *Manager) Of(user ident.User) []Server {
	var own []Server
	for _, s := range m.List() {
		if s.Key.User == user {
			own = append(own, s)
		}
	}
	return own
}

// TokenOwner reports which active server a JUPYTERHUB_API_TOKEN belongs to.
func (m *Manager) TokenOwner(token string) (ident.Key, bool) {
	hash := ident.HashToken(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.servers {
		// Comparing hashes of secrets leaks nothing of the secrets by its timing.
		if s.tokenHash != "" && s.tokenHash == hash && s.State.Active() {
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
		s = &server{Server: Server{Key: key, State: Stopped}, progress: newBroadcast()}
		m.servers[key] = s
	}
	return s
}

// transition is the only place where a state changes. m.mu is held.
func (m *Manager) transition(s *server, e event) error {
	to, err := next(s.State, e)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.Key, err)
	}
	if to == s.State {
		return nil
	}
	from := s.State
	s.State, s.Since = to, time.Now()
	if to == Ready {
		m.cfg.Router.SetRoute(s.Key, s.address)
	} else {
		m.cfg.Router.DeleteRoute(s.Key)
	}
	if !to.Active() {
		m.noteLeases(s)
		s.tokenHash, s.Started, s.WithoutGPUs = "", time.Time{}, false
	}
	if to != Starting && to != Queued {
		s.asked, s.tried = time.Time{}, ""
	}
	m.look() // a device may be free, or somebody have left the line
	if to != Failed {
		s.Failure = nil
	}
	if to == Stopped { // nobody may wait for a start that is over
		s.progress.add(Progress{Percent: 100, Failed: true, Message: "Server stopped"})
	}
	m.cfg.Log.Info("server is "+string(to), "event", "server-"+string(to), "user", s.Key.User.String(),
		"server", s.Key.Server.String(), "unit", m.cfg.Backend.Name(s.Key), "from", string(from))
	if m.cfg.OnTransition != nil {
		m.cfg.OnTransition(s.Server, from)
	}
	if m.cfg.OnChange != nil {
		m.cfg.OnChange(m.active())
	}
	return nil
}

// active counts servers whose unit exists or is being made. m.mu is held.
func (m *Manager) active() int {
	n := 0
	for _, s := range m.servers {
		if s.State.Active() && s.State != Queued {
			n++
		}
	}
	return n
}

// newToken makes a server's token: 128 random bits in base 32 (crypto/rand.Text).
func newToken() string { return rand.Text() }
