package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
)

func newTestProcess(t *testing.T, successor func(context.Context, handover.Config) error) *process {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	m, err := metrics.New(metrics.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p := newProcess(given{log: log, listeners: map[string][]net.Listener{}}, m)
	p.successor = successor
	p.status.start(func() string { return "1 server runs" })
	return p
}

func TestReload(t *testing.T) {
	var asked handover.Config
	p := newTestProcess(t, func(_ context.Context, c handover.Config) error {
		asked = c
		return nil
	})
	if err := p.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked.Timeout != time.Minute || asked.Path == "" || strings.HasSuffix(asked.Path, "(deleted)") ||
		asked.Listeners == nil {
		t.Errorf("the successor was started with %+v", asked)
	}
	if !p.handedOver.happened() {
		t.Error("this process does not know that a newer one has taken over")
	}
	if got := p.status.stop()(); got != "" {
		t.Errorf("this process still shows its status: %q", got)
	}
	if err := p.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "taken over already") {
		t.Errorf("a second reload: %v", err)
	}
}

func TestReloadFails(t *testing.T) {
	broken := errors.New("the settings cannot be used")
	p := newTestProcess(t, func(context.Context, handover.Config) error { return broken })
	if err := p.reload(t.Context()); !errors.Is(err, broken) {
		t.Errorf("reload: %v", err)
	}
	if p.handedOver.happened() {
		t.Error("this process thinks that a newer one has taken over")
	}
	if got := p.status.stop()(); got != "1 server runs" {
		t.Errorf("this process shows %q", got)
	}
}

func TestReloadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finish := make(chan struct{})
		p := newTestProcess(t, func(context.Context, handover.Config) error { <-finish; return nil })
		first := make(chan error, 1)
		go func() { first <- p.reload(t.Context()) }()
		synctest.Wait()
		if err := p.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "under way already") {
			t.Errorf("a second reload at the same time: %v", err)
		}
		close(finish)
		if err := <-first; err != nil {
			t.Errorf("the first reload: %v", err)
		}
	})
}

func TestEvent(t *testing.T) {
	e := newEvent()
	if e.happened() {
		t.Error("it has happened before it did")
	}
	e.fire()
	e.fire()
	<-e.fired()
	if !e.happened() {
		t.Error("it has not happened")
	}
}

func TestStatusLine(t *testing.T) {
	all := listening(t, "public")["public"]
	address := all[0].Addr().String()
	for want, n := range map[string][2]int{
		"0 servers run; https://h/ on " + address:             {0, 0},
		"1 server runs; https://h/ on " + address:             {1, 0},
		"2 servers run, 3 starting; https://h/ on " + address: {2, 3},
	} {
		if got := statusLine(n[0], n[1], "https://h/", all); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	any, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = any.Close() }()
	_, port, _ := net.SplitHostPort(any.Addr().String())
	if got := statusLine(0, 0, "https://h/", append(all, any)); !strings.HasSuffix(got, address+", :"+port) {
		t.Errorf("%q", got)
	}
}
