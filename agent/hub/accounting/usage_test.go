package accounting

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// lab is a host with servers that always compute on as many cores as the test sets.
type lab struct {
	now      time.Time
	list     []backend.Server
	devices  []backend.Device
	cores    float64
	lists    int // calls of List
	asked    int // calls of GPUs
	listErr  error
	gpusErr  error
	hidden   bool // no control group can be read
	db       *store.Store
	log      bytes.Buffer
	accounts *Accountant
}

func (l *lab) List(context.Context) ([]backend.Server, error) {
	l.lists++
	return slices.Clone(l.list), l.listErr
}

func (l *lab) GPUs(context.Context) (backend.GPUs, error) {
	l.asked++
	return backend.GPUs{Devices: l.devices}, l.gpusErr
}

func (l *lab) counters(_ context.Context, k ident.Key) (Counters, bool) {
	for _, s := range l.list {
		if s.Key == k && !l.hidden {
			return Counters{time.Duration(l.cores * float64(l.now.Sub(s.Started))), 1 << 30}, true
		}
	}
	return Counters{}, false
}

// hub starts another process of the hub on the same database.
func (l *lab) hub(t *testing.T) {
	t.Helper()
	var err error
	l.accounts, err = New(Config{Backend: l, Records: l.db, Counters: l.counters,
		Now: func() time.Time { return l.now }, Log: slog.New(slog.NewTextHandler(&l.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
}

// turns lets time pass with a turn every 30 seconds.
func (l *lab) turns(t *testing.T, d time.Duration) {
	t.Helper()
	for end := l.now.Add(d); l.now.Before(end); {
		l.now = l.now.Add(30 * time.Second)
		l.accounts.turn(t.Context())
	}
}

// change passes on a server's change as the manager does.
func (l *lab) change(t *testing.T, k ident.Key, from, to servers.State) {
	t.Helper()
	s := servers.Server{Key: k, State: to, Since: l.now}
	for _, u := range l.list {
		if u.Key == k && to.Active() {
			s.Started, s.Devices = u.Started, u.Devices
		}
	}
	l.lists = 0
	defer func() {
		if l.lists > 0 {
			t.Error("all servers were listed after an event of one")
		}
	}()
	l.accounts.Changed(s, from)
	for {
		select {
		case n := <-l.accounts.news:
			l.accounts.take(t.Context(), n)
		default:
			return
		}
	}
}

func (l *lab) end(k ident.Key) {
	l.list = nil
	for i := range l.devices {
		l.devices[i].Holders = nil
	}
}

func newLab(t *testing.T, sharing backend.Sharing, places uint32) (*lab, ident.Key) {
	t.Helper()
	alice := key(t, "alice", "")
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "hub.sqlite"),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l := &lab{now: t0, cores: 2, db: db, list: []backend.Server{{Key: alice, State: backend.Running,
		Started: t0, Devices: []string{"a"}}},
		devices: []backend.Device{{Name: "a", Sharing: sharing, Places: places,
			Holders: []backend.Holder{{Key: alice}, {Key: key(t, "bob", "")}}},
			{Name: "b", Sharing: backend.Exclusive}}}
	l.hub(t)
	return l, alice
}

func TestAccounts(t *testing.T) {
	type hours struct{ Oct, Nov Hours }
	tests := map[string]struct {
		sharing backend.Sharing
		places  uint32
		live    func(t *testing.T, l *lab, alice ident.Key)
		want    hours
		open    int // readings that remain
	}{
		"two hours over midnight": {sharing: backend.Exclusive, places: 1, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) { l.turns(t, 2*time.Hour) },
			want: hours{Hours{GPU: 1, CPU: 2, Memory: 1, Server: 1}, Hours{GPU: 1, CPU: 2, Memory: 1, Server: 1}}},
		"a quarter of a device": {sharing: backend.Shared, places: 4, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) { l.turns(t, time.Hour) },
			want: hours{Oct: Hours{GPU: 0.25, CPU: 2, Memory: 1, Server: 1}}},
		"open to all": {sharing: backend.Open, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) { l.turns(t, time.Hour) },
			want: hours{Oct: Hours{CPU: 2, Memory: 1, Server: 1}}},
		"another process of the hub, after half an hour without one": {sharing: backend.Exclusive, places: 1,
			open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) {
				l.turns(t, 10*time.Minute)
				l.now = l.now.Add(30 * time.Minute)
				l.hub(t)
				l.turns(t, 20*time.Minute)
			}, want: hours{Oct: Hours{GPU: 1, CPU: 2, Memory: 1, Server: 1}}},
		"two processes at once": {sharing: backend.Exclusive, places: 1, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) {
				old := l.accounts
				l.hub(t)
				for range 120 {
					l.turns(t, 30*time.Second)
					old.turn(t.Context())
				}
			}, want: hours{Oct: Hours{GPU: 1, CPU: 2, Memory: 1, Server: 1}}},
		"stopped by the hub": {sharing: backend.Exclusive, places: 1,
			live: func(t *testing.T, l *lab, alice ident.Key) {
				l.change(t, alice, servers.Starting, servers.Waiting)
				l.turns(t, 29*time.Minute+50*time.Second)
				l.now = l.now.Add(15 * time.Second)
				l.change(t, alice, servers.Ready, servers.Stopping)
				l.end(alice)
				l.now = l.now.Add(15 * time.Second)
				l.change(t, alice, servers.Stopping, servers.Stopped)
				l.turns(t, time.Hour)
			}, want: hours{Oct: Hours{GPU: 30.5 / 60, CPU: 2 * 30.25 / 60, Memory: 30.5 / 60, Server: 30.5 / 60}}},
		"ended by itself between two turns": {sharing: backend.Exclusive, places: 1,
			live: func(t *testing.T, l *lab, alice ident.Key) {
				l.turns(t, 30*time.Minute)
				l.end(alice)
				l.now = l.now.Add(12 * time.Second)
				l.change(t, alice, servers.Ready, servers.Failed)
			}, want: hours{Oct: Hours{GPU: 30.2 / 60, CPU: 1, Memory: 30.2 / 60, Server: 30.2 / 60}}},
		"ended while the hub was down": {sharing: backend.Exclusive, places: 1,
			live: func(t *testing.T, l *lab, alice ident.Key) {
				l.turns(t, 30*time.Minute)
				l.end(alice)
				l.now = l.now.Add(10 * time.Minute)
				l.hub(t)
				l.turns(t, 30*time.Second)
			}, want: hours{Oct: Hours{GPU: 0.5, CPU: 1, Memory: 0.5, Server: 0.5}}},
		"started again at once": {sharing: backend.Exclusive, places: 1, open: 1,
			live: func(t *testing.T, l *lab, alice ident.Key) {
				l.turns(t, 20*time.Minute)
				l.change(t, alice, servers.Ready, servers.Stopping)
				l.now = l.now.Add(20 * time.Second)
				l.list[0].Started = l.now.Add(5 * time.Second)
				l.change(t, alice, servers.Stopping, servers.Stopped)
				l.now = l.now.Add(10 * time.Second)
				l.change(t, alice, servers.Starting, servers.Waiting)
				l.turns(t, 10*time.Minute)
			}, want: hours{Oct: Hours{GPU: (20*60 + 20 + 605) / 3600., CPU: 2 * (20*60 + 605) / 3600., Memory: -1,
				Server: (20*60 + 20 + 605) / 3600.}}},
		"backend down": {sharing: backend.Exclusive, places: 1, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) {
				l.turns(t, 10*time.Minute)
				l.listErr = errors.New("no answer")
				l.turns(t, 10*time.Minute)
				l.listErr, l.gpusErr = nil, errors.New("no answer")
				l.turns(t, 40*time.Minute)
				if n := strings.Count(l.log.String(), "event=accounting-failed"); n != 1 {
					t.Errorf("said %d times:\n%s", n, &l.log)
				}
			}, want: hours{Oct: Hours{GPU: 1, CPU: 2, Memory: 1, Server: 1}}},
		"holds nothing, and who holds what is not known": {sharing: backend.Exclusive, places: 1, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) {
				l.list[0].Devices, l.gpusErr = nil, errors.New("no answer")
				l.turns(t, time.Hour)
			}, want: hours{Oct: Hours{CPU: 2, Memory: 1, Server: 1}}},
		"who holds what is known late": {sharing: backend.Exclusive, places: 1, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) {
				l.gpusErr = errors.New("no answer")
				l.turns(t, 30*time.Minute)
				l.gpusErr = nil
				l.turns(t, 30*time.Minute)
			}, want: hours{Oct: Hours{GPU: 1, CPU: 2, Memory: -1, Server: 1}}},
		"no control group": {sharing: backend.Exclusive, places: 1, open: 1,
			live: func(t *testing.T, l *lab, _ ident.Key) {
				l.hidden = true
				l.turns(t, time.Hour)
			}, want: hours{Oct: Hours{GPU: 1, Server: 1}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, alice := newLab(t, tt.sharing, tt.places)
			tt.live(t, l, alice)
			all, err := l.db.Accounting(t.Context(), store.AccountingQuery{User: alice.User})
			if err != nil {
				t.Fatal(err)
			}
			var got hours
			for _, h := range InHours(all) {
				m := map[string]*Hours{"2026-10": &got.Oct, "2026-11": &got.Nov}[h.Month]
				*m = h
				m.User, m.Month = "", ""
			}
			for _, pair := range [][2]*Hours{{&tt.want.Oct, &got.Oct}, {&tt.want.Nov, &got.Nov}} {
				want, is := &pair[0].Memory, &pair[1].Memory
				if *want >= 0 && math.Abs(*want-*is) > 0.006 { // the first half minute has no earlier reading
					t.Errorf("%f GiB hours of memory, want %f", *is, *want)
				}
				*want, *is = 0, 0
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Errorf("hours (-want +got):\n%s", diff)
			}
			if left, err := l.db.Readings(t.Context()); err != nil || len(left) != tt.open {
				t.Errorf("%d readings are left, want %d: %v", len(left), tt.open, err)
			}
		})
	}
}

// TestChangedNeverWaits checks that news does not block the manager, however much comes.
func TestChangedNeverWaits(t *testing.T) {
	l, alice := newLab(t, backend.Exclusive, 1)
	for range 2 * maxNews {
		l.accounts.Changed(servers.Server{Key: alice, State: servers.Stopped}, servers.Ready)
	}
	if len(l.accounts.news) != maxNews {
		t.Errorf("%d wait", len(l.accounts.news))
	}
	for range maxNews {
		<-l.accounts.news
	}
	l.accounts.Changed(servers.Server{Key: alice, State: servers.Starting}, servers.Stopped)
	l.accounts.Changed(servers.Server{Key: alice, State: servers.Ready}, servers.Waiting)
	if len(l.accounts.news) != 0 {
		t.Error("a server without a unit, or one that is known, is news")
	}
}

func TestNew(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("an accountant was made of nothing")
	}
}

// TestEventAsksForNoDevices checks that an event of one server asks for the devices of the host only where the server
// holds one that was never seen, and that what is then known of it counts for later events.
func TestEventAsksForNoDevices(t *testing.T) {
	l, alice := newLab(t, backend.Shared, 4)
	l.change(t, alice, servers.Starting, servers.Waiting)
	if l.asked != 1 {
		t.Errorf("the first event asked %d times for devices that nobody knew, want once", l.asked)
	}
	for range 500 {
		l.now = l.now.Add(time.Second)
		l.change(t, alice, servers.Ready, servers.Stopping)
	}
	if l.asked != 1 {
		t.Errorf("500 events asked %d times for devices", l.asked-1)
	}
	r, err := l.db.Readings(t.Context())
	if err != nil || len(r) != 1 || r[0].GPUs != 0.25 {
		t.Errorf("the readings are %+v, %v, want a quarter of a device", r, err)
	}
}
