package hub

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
)

// reloadBound is how long a new process may take to get ready.
const reloadBound = 60 * time.Second

// event happens once.
type event struct {
	once sync.Once
	ch   chan struct{}
}

func newEvent() *event { return &event{ch: make(chan struct{})} }

// fire makes it happen. Further calls change nothing.
func (e *event) fire() { e.once.Do(func() { close(e.ch) }) }

// fired returns a channel that is closed when it has happened.
func (e *event) fired() <-chan struct{} { return e.ch }

func (e *event) happened() bool {
	select {
	case <-e.ch:
		return true
	default:
		return false
	}
}

// process is this process as its service manager sees it, and its successor's start.
type process struct {
	given
	metrics    *metrics.Metrics
	status     notifier
	ending     *event // somebody asked the hub to end
	handedOver *event // a newer process has taken over

	// successor starts the program on disk with the listeners, and returns when it is ready.
	successor func(ctx context.Context, c handover.Config) error
	reloading sync.Mutex // one reload at a time
}

func newProcess(g given, m *metrics.Metrics) *process {
	return &process{given: g, metrics: m, ending: newEvent(), handedOver: newEvent(), successor: handover.Successor}
}

// ready reports to the service manager that the hub serves, and keeps its status line up to date from then on.
func (p *process) ready(status func() string) error {
	if err := handover.Announce(status()); err != nil {
		return err
	}
	p.status.start(status)
	return nil
}

// reload starts the program on disk with our listeners. When it is ready this process stops accepting and serves what
// is open to its end. On an error this process serves on.
func (p *process) reload(ctx context.Context) error {
	if !p.reloading.TryLock() {
		return errors.New("a reload is under way already")
	}
	defer p.reloading.Unlock()
	if p.handedOver.happened() {
		return errors.New("a newer process has taken over already")
	}
	p.log.Info("reloading", "event", "reload")
	_ = (handover.Notify{}).Reloading() // without a service manager there is nobody to tell
	status := p.status.stop()
	if err := p.succeed(ctx, p.listeners); err != nil {
		p.metrics.ReloadFailed()
		p.log.Error("reload failed; this process serves on", "event", "reload-failed", "error", err.Error())
		_ = (handover.Notify{}).Ready(status())
		p.status.start(status)
		return err
	}
	p.handedOver.fire()
	return nil
}

func (p *process) succeed(ctx context.Context, listeners map[string][]net.Listener) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The package manager has replaced the file: the kernel then marks our own as deleted.
	return p.successor(ctx, handover.Config{Path: strings.TrimSuffix(self, " (deleted)"), Args: os.Args[1:],
		Listeners: listeners, Timeout: reloadBound, Stderr: os.Stderr})
}
