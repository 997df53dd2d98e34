// Package fake is a backend of hosts that do not exist, for the tests of the hub. It behaves as real ones do where that
// matters to the hub: a start goes on when its caller goes away, a stop waits for the start of the same user that is
// being prepared, events come on their own and may be behind the answers, servers can be queued, and addresses can be
// remote. No program may link it.
package fake

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Config is how a Backend behaves. Every field is optional.
type Config struct {
	Prepare time.Duration // before a server is accepted, such as for a slow name service
	Boot    time.Duration // from there, or from its turn, until its process runs
	Halt    time.Duration // for a stop
	Lag     time.Duration // of each event
	// Slots is how many servers may run at once; others are queued, and Start returns when a server is accepted. 0 is
	// any number; Start returns then when the process runs.
	Slots int
	// Refuse is asked before a server is accepted. It may take its time and set the server's devices.
	Refuse func(r backend.StartRequest, s *backend.Server) error
	// BootError makes starts fail that have been accepted.
	BootError *backend.Error
	// Address returns where a server answers; nil: a UNIX socket of the account 5001.
	Address func(key ident.Key) backend.Address
}

// Backend is the fake. Make it with New, and Close it.
type Backend struct {
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	events chan late

	mu       sync.Mutex // guards all below
	cfg      Config
	servers  map[ident.Key]*server
	queue    []ident.Key
	users    map[ident.User]<-chan struct{} // closed when the last of a user's calls in turn is over
	calls    map[string]int
	requests []backend.StartRequest
	silent   error
}

type server struct {
	backend.Server
	stopping bool
	ended    chan struct{} // closed when it has ended
}

type late struct {
	e  backend.Event
	at time.Time
}

// maxEvents is how many events may wait for Watch.
const maxEvents = 4096

// New makes a Backend without servers.
func New(cfg Config) *Backend {
	ctx, cancel := context.WithCancel(context.Background())
	return &Backend{ctx: ctx, cancel: cancel, events: make(chan late, maxEvents), cfg: cfg,
		servers: map[ident.Key]*server{}, users: map[ident.User]<-chan struct{}{}, calls: map[string]int{}}
}

// Close ends what goes on.
func (b *Backend) Close() {
	b.cancel()
	b.wg.Wait()
}

// Change changes how it behaves from now on.
func (b *Backend) Change(change func(*Config)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.cfg)
}

// Silence makes every call fail with an error that is no refusal, as of a backend that does not answer; nil ends it.
func (b *Backend) Silence(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = err
}

// Calls returns how often it was called, by the name of the call such as "list", and forgets it.
func (b *Backend) Calls() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = map[string]int{}
	return calls
}

// Requests returns what it was asked to start.
func (b *Backend) Requests() []backend.StartRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}

// Put makes a server exist, without an event.
func (b *Backend) Put(s backend.Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.servers[s.Key] = &server{Server: s, ended: make(chan struct{})}
}

// Lose lets a server be gone without an event, as while nobody listened.
func (b *Backend) Lose(key ident.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.servers, key)
}

// End lets a server end by itself: Failed with a reason, or Stopped. A real backend may say before that it is Stopping.
func (b *Backend) End(key ident.Key, state backend.State, why backend.Why) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.servers[key]; s != nil {
		b.end(s, state, why)
	}
}

// Update changes what is known of a server, with an event.
func (b *Backend) Update(key ident.Key, change func(*backend.Server)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.servers[key]; s != nil {
		change(&s.Server)
		b.tell(s, backend.Why{})
	}
}

// called counts a call and returns the error of a backend that does not answer.
func (b *Backend) called(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[name]++
	return b.silent
}

// Get returns one server.
func (b *Backend) Get(_ context.Context, key ident.Key) (backend.Server, error) {
	if err := b.called("get"); err != nil {
		return backend.Server{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.servers[key]; s != nil {
		return s.Server, nil
	}
	return backend.Server{}, &backend.Error{Code: backend.NotFound, Message: b.Name(key) + " does not run", Hint: "ask"}
}

// List returns all servers, by key.
func (b *Backend) List(context.Context) ([]backend.Server, error) {
	if err := b.called("list"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []backend.Server
	for _, s := range b.servers {
		all = append(all, s.Server)
	}
	slices.SortFunc(all, func(x, y backend.Server) int { return strings.Compare(x.Key.String(), y.Key.String()) })
	return all, nil
}

// Name returns what it calls a server.
func (b *Backend) Name(key ident.Key) string { return "job-" + key.String() }

// Watch passes the events on until ctx ends, in order.
func (b *Backend) Watch(ctx context.Context, event func(backend.Event), resync func()) {
	resync()
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-b.events:
			time.Sleep(time.Until(l.at))
			event(l.e)
		}
	}
}

// tell makes the event of a server as it is now. b.mu is held.
func (b *Backend) tell(s *server, why backend.Why) {
	select {
	case b.events <- late{backend.Event{Server: s.Server, Why: why}, time.Now().Add(b.cfg.Lag)}:
	default:
		panic("fake: nobody takes the events")
	}
}

// Start accepts a server. It returns when ctx ends, but the start goes on.
func (b *Backend) Start(ctx context.Context, r backend.StartRequest) error {
	if err := b.called("start"); err != nil {
		return err
	}
	answer := make(chan error, 1)
	wait, done := b.turn(r.Key.User)
	b.wg.Go(func() {
		wait()
		s, err := b.accept(r)
		done()
		if err == nil && !b.queues() {
			err = b.boot(s)
		}
		answer <- err
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Backend) queues() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cfg.Slots > 0
}

// accept prepares and accepts a server, one of a user at a time.
func (b *Backend) accept(r backend.StartRequest) (*server, error) {
	b.mu.Lock()
	b.requests = append(b.requests, r)
	cfg := b.cfg
	b.mu.Unlock()
	b.sleep(cfg.Prepare, nil)
	s := &server{Server: backend.Server{Key: r.Key, Profile: r.Profile, State: backend.Starting, Started: time.Now(),
		TokenHash: ident.HashToken(r.Env["JUPYTERHUB_API_TOKEN"])}, ended: make(chan struct{})}
	if cfg.Refuse != nil {
		if err := cfg.Refuse(r, &s.Server); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.servers[r.Key] != nil {
		return nil, &backend.Error{Code: backend.AlreadyExists, Message: b.Name(r.Key) + " exists already"}
	}
	b.servers[r.Key] = s
	if b.cfg.Slots > 0 {
		s.State, s.Queue.Since = backend.Queued, time.Now()
		b.queue = append(b.queue, r.Key)
		b.advance()
		return s, nil
	}
	b.tell(s, backend.Why{})
	return s, nil
}

// advance starts those of the queue for whom there is room, and updates the positions of the others. b.mu is held.
func (b *Backend) advance() {
	if b.ctx.Err() != nil {
		return
	}
	taken := 0
	for _, s := range b.servers {
		if s.State != backend.Queued {
			taken++
		}
	}
	for len(b.queue) > 0 && taken < b.cfg.Slots {
		s := b.servers[b.queue[0]]
		b.queue, taken = b.queue[1:], taken+1
		s.State, s.Reason, s.Queue, s.Started = backend.Starting, "", backend.Queue{}, time.Now()
		b.tell(s, backend.Why{})
		b.wg.Go(func() { _ = b.boot(s) })
	}
	for i, key := range b.queue {
		s := b.servers[key]
		s.Reason, s.Queue.Position, s.Queue.Of = "waits for a free host", i+1, len(b.queue)
		s.Queue.Estimate = time.Hour * time.Duration(i+1)
		b.tell(s, backend.Why{})
	}
}

// boot lets a server's process run after a while, or fail.
func (b *Backend) boot(s *server) error {
	b.mu.Lock()
	cfg := b.cfg
	b.mu.Unlock()
	b.sleep(cfg.Boot, s.ended)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.servers[s.Key] != s || s.stopping {
		return &backend.Error{Code: backend.StartFailed, Message: b.Name(s.Key) + " was stopped before it was ready"}
	}
	if cfg.BootError != nil {
		s.State = backend.Stopping
		b.tell(s, backend.Why{})
		b.end(s, backend.Failed, backend.Why{Message: b.Name(s.Key) + " ended with exit status 1"})
		return cfg.BootError
	}
	s.State = backend.Running
	if s.Address = backend.UnixSocket("/sock/"+s.Key.String(), 5001); cfg.Address != nil {
		s.Address = cfg.Address(s.Key)
	}
	b.tell(s, backend.Why{})
	return nil
}

// Stop stops a server, which may be queued.
func (b *Backend) Stop(_ context.Context, key ident.Key) error {
	if err := b.called("stop"); err != nil {
		return err
	}
	wait, done := b.turn(key.User)
	wait() // for a start that is being prepared
	done()
	b.mu.Lock()
	s, halt := b.servers[key], b.cfg.Halt
	if s == nil {
		b.mu.Unlock()
		return &backend.Error{Code: backend.NotFound, Message: b.Name(key) + " does not run"}
	}
	if !s.stopping {
		s.stopping, s.State = true, backend.Stopping
		b.tell(s, backend.Why{})
	}
	b.mu.Unlock()
	b.sleep(halt, s.ended)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(s, backend.Stopped, backend.Why{})
	return nil
}

// end removes a server. b.mu is held.
func (b *Backend) end(s *server, state backend.State, why backend.Why) {
	if b.servers[s.Key] != s {
		return
	}
	delete(b.servers, s.Key)
	b.queue = slices.DeleteFunc(b.queue, func(k ident.Key) bool { return k == s.Key })
	s.State = state
	close(s.ended)
	b.tell(s, why)
	b.advance()
}

// Reset has no persistent containers to remove.
func (b *Backend) Reset(context.Context, ident.Key) error {
	if err := b.called("reset"); err != nil {
		return err
	}
	return &backend.Error{Code: backend.NotFound, Message: "there is no persistent container"}
}

// turn enters a call into its user's order. wait waits for those before, and the call is over when done was called.
func (b *Backend) turn(u ident.User) (wait, done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, over := b.users[u], make(chan struct{})
	b.users[u] = over
	return func() {
		if before != nil {
			<-before
		}
	}, func() { close(over) }
}

// sleep waits, unless it is closed or something ends first.
func (b *Backend) sleep(d time.Duration, ended <-chan struct{}) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ended:
	case <-b.ctx.Done():
	}
}
