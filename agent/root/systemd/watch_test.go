package systemd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/wire/bustest"
)

// TestStates checks which of the states that systemd sends are news.
func TestStates(t *testing.T) {
	tests := map[string]struct{ sent, news []State }{
		"start and stop": {
			[]State{Inactive, Activating, Activating, Active, Active, Deactivating, Inactive, Inactive},
			[]State{Activating, Active, Deactivating, Inactive}},
		"failure and reset": {
			[]State{Inactive, Activating, Failed, Failed, Inactive},
			[]State{Activating, Failed}},
		"again after a failure": {
			[]State{Failed, Inactive, Activating, Failed},
			[]State{Failed, Activating, Failed}},
		"never started": {[]State{Inactive, Inactive}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			seen := states{}
			var news []State
			for _, s := range tt.sent {
				if seen.change("jupyter-a.service", s) {
					news = append(news, s)
				}
			}
			if diff := cmp.Diff(tt.news, news); diff != "" {
				t.Error(diff)
			}
			if last := tt.sent[len(tt.sent)-1]; last == Inactive && len(seen) != 0 {
				t.Errorf("an ended unit is remembered: %v", seen)
			}
		})
	}
}

// TestReadChange reads signals, also such as systemd never sends.
func TestReadChange(t *testing.T) {
	text := func(s string) dbus.Variant { return dbus.MakeVariant(s) }
	since := dbus.MakeVariant(uint64(1700000000000001))
	body := func(changed map[string]dbus.Variant) []any { return []any{unitInterface, changed, []string{}} }
	active := map[string]dbus.Variant{"ActiveState": text("active"), "InactiveExitTimestamp": since}
	tests := map[string]struct {
		path dbus.ObjectPath
		body []any
		want Change
		ok   bool
	}{
		"started": {unitPath("u"), body(active), Change{"u", Active, time.UnixMicro(1700000000000001)}, true},
		"never started": {unitPath("u"), body(map[string]dbus.Variant{"ActiveState": text("inactive"),
			"InactiveExitTimestamp": dbus.MakeVariant(uint64(0))}), Change{Name: "u", State: Inactive}, true},
		"no time": {unitPath("u"), body(map[string]dbus.Variant{"ActiveState": text("failed")}),
			Change{Name: "u", State: Failed}, true},
		"strange time": {unitPath("u"), body(map[string]dbus.Variant{"ActiveState": text("failed"),
			"InactiveExitTimestamp": text("x")}), Change{Name: "u", State: Failed}, true},
		"another signal":    {path: unitPath("u"), body: body(map[string]dbus.Variant{"MainPID": since})},
		"strange state":     {path: unitPath("u"), body: body(map[string]dbus.Variant{"ActiveState": since})},
		"no body":           {path: unitPath("u")},
		"short":             {path: unitPath("u"), body: []any{unitInterface, active}},
		"long":              {path: unitPath("u"), body: append(body(active), "x")},
		"another interface": {path: unitPath("u"), body: []any{"x", active, []string{}}},
		"no interface":      {path: unitPath("u"), body: []any{uint32(1), active, []string{}}},
		"no properties":     {path: unitPath("u"), body: []any{unitInterface, "x", []string{}}},
		"no unit":           {path: "/x", body: body(active)},
		"no name":           {path: unitPrefix, body: body(active)},
		"strange name":      {path: unitPrefix + "a_2", body: body(active)},
		"strange name 2":    {path: unitPrefix + "a_xy", body: body(active)},
	}
	for name, tt := range tests {
		got, ok := readChange(&dbus.Signal{Path: tt.path, Body: tt.body})
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// TestReadRemoved reads signals of jobs, also such as systemd never sends.
func TestReadRemoved(t *testing.T) {
	good := []any{uint32(7), jobPath("7"), "x.service", "done"}
	if r, ok := readRemoved(good); !ok || r != (removal{jobPath("7"), "x.service", "done"}) {
		t.Errorf("%+v, %v", r, ok)
	}
	for name, body := range map[string][]any{"none": nil, "short": good[:3], "long": append(good[:4:4], "x"),
		"no path": {uint32(7), "x", "x.service", "done"}, "no unit": {uint32(7), jobPath("7"), uint32(1), "done"},
		"no result": {uint32(7), jobPath("7"), "x.service", nil}} {
		if r, ok := readRemoved(body); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestUnitPath checks names against systemd's own escapes (systemd-escape(1) has others).
func TestUnitPath(t *testing.T) {
	for name, want := range map[string]string{"jupyter-alice.service": "jupyter_2dalice_2eservice",
		"jupyter-a:x.service": "jupyter_2da_3ax_2eservice", "7-up.service": "_37_2dup_2eservice",
		"a_b.service": "a_5fb_2eservice"} {
		path := unitPath(name)
		if path != unitPrefix+dbus.ObjectPath(want) || !path.IsValid() {
			t.Errorf("%s: %s", name, path)
		}
		if back, ok := unitName(path); !ok || back != name {
			t.Errorf("%s came back as %q, %v", name, back, ok)
		}
	}
}

// TestList checks that a list is one call, whatever its length.
func TestList(t *testing.T) {
	c, p := connected(t)
	all := []listed{{Name: "jupyter-a.service", Load: "loaded", Active: "active"},
		{Name: "jupyter-b.service", Load: "loaded", Active: "inactive", Job: 7},
		{Name: "jupyter-c.service", Load: "not-found", Active: "inactive"}}
	p.units(all...)
	got, err := c.List(t.Context(), "jupyter-*.service")
	want := []Status{{"jupyter-a.service", Active, false}, {"jupyter-b.service", Inactive, true}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || len(p.called) != 1 {
		t.Errorf("%v, %v (-want +got):\n%s", p.called, err, diff)
	}
	p.answer("ListUnitsByPatterns", nil)
	if _, err := c.List(t.Context(), "jupyter-*.service"); err == nil {
		t.Error("a list that fails")
	}
	p.answer("ListUnitsByPatterns", func([]any) []any { return []any{"x"} })
	if _, err := c.List(t.Context(), "jupyter-*.service"); err == nil {
		t.Error("a list that is none")
	}
}

// TestGet reads what systemd says of a unit, also with properties of other types than ours.
func TestGet(t *testing.T) {
	c, p := connected(t)
	p.unit(map[string]any{"LoadState": "loaded", "ActiveState": "active", "Environment": []string{"A=b"},
		"InactiveExitTimestamp": uint64(1700000000000001), "Job": jobOf{5, jobPath("5")}, "User": "alice",
		"MainPID": uint32(9), "TimeoutStopUSec": uint64(30e6), "Result": "timeout", "ExecMainStatus": int32(3)})
	want := Unit{Status{"u", Active, true}, []string{"A=b"}, time.UnixMicro(1700000000000001), 30 * time.Second}
	got, err := c.Get(t.Context(), "u")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	s, err := c.Service(t.Context(), "u")
	if diff := cmp.Diff(Service{"alice", 9, []string{"A=b"}}, s); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if o, err := c.Outcome(t.Context(), "u"); err != nil || o != (Outcome{"timeout", 3, 0}) {
		t.Errorf("%+v, %v", o, err)
	}
	p.unit(map[string]any{"LoadState": "loaded", "ActiveState": uint32(1), "Environment": "A=b",
		"InactiveExitTimestamp": "x", "Job": "none"})
	if u, err := c.Get(t.Context(), "u"); err != nil || !cmp.Equal(u, Unit{Status: Status{Name: "u"}}) {
		t.Errorf("%+v, %v", u, err)
	}
	p.unit(map[string]any{"LoadState": "loaded", "TimeoutStopUSec": uint64(1<<64 - 1)})
	if u, err := c.Get(t.Context(), "u"); err != nil || u.StopTimeout != 24*time.Hour {
		t.Errorf("%+v, %v", u, err)
	}
	p.unit(map[string]any{"LoadState": "not-found"})
	if _, err := c.Get(t.Context(), "u"); !errors.Is(err, ErrNotLoaded) {
		t.Error(err)
	}
}

// TestProcesses counts the processes of a unit, and kills them all.
func TestProcesses(t *testing.T) {
	c, p := connected(t)
	p.answer("GetUnitProcesses", func([]any) []any { return []any{[]process{{"/x", 7, "a"}, {"/x/y", 8, "b"}}} })
	if n, err := c.Processes(t.Context(), "u"); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	p.answer("GetUnitProcesses", nil)
	if n, err := c.Processes(t.Context(), "u"); n != 0 || !errors.Is(err, ErrNotLoaded) {
		t.Errorf("no unit: %d, %v", n, err)
	}
	var args []any
	p.answer("KillUnit", func(a []any) []any { args = a; return []any{} })
	if err := c.Kill(t.Context(), "u"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]any{"u", "all", int32(9)}, args); diff != "" {
		t.Errorf("kill (-want +got):\n%s", diff)
	}
	p.answer("KillUnit", nil)
	if err := c.Kill(t.Context(), "u"); !errors.Is(err, ErrNotLoaded) {
		t.Error(err)
	}
}

// watched runs Watch and returns what it says, and its end.
func watched(t *testing.T, c *Conn, known ...Status) (<-chan Change, <-chan error) {
	seen, ended := make(chan Change, 10), make(chan error, 1)
	go func() {
		ended <- c.Watch(t.Context(), "jupyter-", ".service", known, func(ch Change) { seen <- ch })
	}()
	return seen, ended
}

// TestWatch passes on the changes of the units that are watched, and what may have been missed while systemd executed
// itself again.
func TestWatch(t *testing.T) {
	c, p := connected(t)
	seen, ended := watched(t, c, Status{Name: "jupyter-b.service", State: Active})
	p.signal("/x", properties, "PropertiesChanged")
	p.signal(managerPath, managerInterface, "JobRemoved")
	p.changed("ssh.service", Active)
	p.changed("jupyter-b.service", Active)
	p.changed("jupyter-a.service", Activating)
	if got := <-seen; got != (Change{Name: "jupyter-a.service", State: Activating}) {
		t.Errorf("seen %+v", got)
	}
	p.units(listed{Name: "jupyter-a.service", Load: "loaded", Active: "active"})
	p.again(false)
	got := map[string]State{}
	for range 2 {
		change := <-seen
		got[change.Name] = change.State
	}
	want := map[string]State{"jupyter-a.service": Active, "jupyter-b.service": Inactive}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the new connection (-want +got):\n%s", diff)
	}
	p.changed("jupyter-a.service", Deactivating)
	if got := <-seen; got != (Change{Name: "jupyter-a.service", State: Deactivating}) {
		t.Errorf("seen %+v", got)
	}
	p.answer("ListUnitsByPatterns", nil)
	c.miss()
	if err := <-ended; !errors.Is(err, ErrLost) {
		t.Errorf("systemd refuses the list: %v", err)
	}
}

// TestWatchFlood sends more changes than anybody reads: none is lost without a list in its place.
func TestWatchFlood(t *testing.T) {
	c, p := connected(t)
	for range cap(c.changes) + 1 {
		c.note(&dbus.Signal{Name: properties + ".PropertiesChanged", Path: unitPath("jupyter-a.service"),
			Body: []any{unitInterface, map[string]dbus.Variant{"ActiveState": dbus.MakeVariant("active")}, []string{}}})
	}
	p.units(listed{Name: "jupyter-b.service", Load: "loaded", Active: "active"})
	seen, _ := watched(t, c)
	for change := range seen {
		if change.Name == "jupyter-b.service" {
			return
		}
	}
}

// TestWatchEnds checks what ends a watch, and which end is an error.
func TestWatchEnds(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	c, _ := connected(t)
	if err := c.Watch(over, "jupyter-", ".service", nil, nil); err != nil {
		t.Errorf("nobody watches any more: %v", err)
	}
	c = lost(t)
	<-c.missed
	if err := c.Watch(t.Context(), "jupyter-", ".service", nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("systemd does not come back: %v", err)
	}
	c, _ = connected(t)
	if err := c.bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Watch(t.Context(), "jupyter-", ".service", nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("the system bus is gone: %v", err)
	}
}

// TestIsUnit checks which names a watch is about.
func TestIsUnit(t *testing.T) {
	for name, want := range map[string]bool{"jupyter-a.service": true, "jupyter-a.socket": false, "ssh.service": false,
		"ssh.socket": false} {
		if got := isUnit(name, "jupyter-", ".service"); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzSignal hands signals with bodies of every type to a connection: systemd's own are of two types, and others are
// dropped.
func FuzzSignal(f *testing.F) {
	for member, body := range map[string][]any{
		managerInterface + ".JobRemoved": {uint32(7), jobPath("7"), "x.service", "done"},
		properties + ".PropertiesChanged": {unitInterface,
			map[string]dbus.Variant{"ActiveState": dbus.MakeVariant("active")}, []string{}},
	} {
		sig, raw := bustest.Encode(f, body...)
		f.Add(member, string(unitPath("x.service")), sig, raw)
		f.Add(member, "/x", "", []byte{})
		f.Add(member, string(unitPath("x.service")), "s", raw)
	}
	f.Fuzz(func(t *testing.T, name, path, sig string, raw []byte) {
		body, ok := bustest.Decode(sig, raw)
		if !ok {
			return
		}
		c := &Conn{changes: make(chan Change, 1), missed: make(chan struct{}, 1), waiting: map[*pending]bool{}}
		p := &pending{job: job{unit: "x.service"}, results: map[dbus.ObjectPath]string{}, news: make(chan struct{}, 1)}
		c.waiting[p] = true
		c.note(&dbus.Signal{Name: name, Path: dbus.ObjectPath(path), Body: body})
		if len(c.changes) > 0 && name != properties+".PropertiesChanged" ||
			len(p.results) > 0 && name != managerInterface+".JobRemoved" {
			t.Errorf("%s %v was taken", name, body)
		}
	})
}
