package launcherbus

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/wire/bustest"
)

// watching is a watcher with what it did.
type watching struct {
	watcher
	events, resyncs int
	logged          strings.Builder
}

func newWatching() *watching {
	w := &watching{}
	w.watcher = watcher{log: slog.New(slog.NewTextHandler(&w.logged, nil)), owner: ":1.7",
		event: func(Event) { w.events++ }, resync: func() { w.resyncs++ }}
	return w
}

// TestSenders hands signals of every sender to a watcher: only the launcher's own and the bus's own count.
func TestSenders(t *testing.T) {
	event := Event{Server{Key: key(t, "bob", ""), State: Stopped}, "", 0}.Body()
	changed, owners := Interface+"."+ChangedSignal, "org.freedesktop.DBus.NameOwnerChanged"
	type result struct {
		Events, Resyncs int
		Owner           string
		Forged          bool
	}
	same := result{Owner: ":1.7"}
	forged := result{Owner: ":1.7", Forged: true}
	tests := map[string]struct {
		signal dbus.Signal
		want   result
	}{
		"launcher's": {dbus.Signal{Sender: ":1.7", Path: ObjectPath, Name: changed, Body: event},
			result{Events: 1, Owner: ":1.7"}},
		"somebody's":     {dbus.Signal{Sender: ":1.8", Path: ObjectPath, Name: changed, Body: event}, forged},
		"nobody's":       {dbus.Signal{Path: ObjectPath, Name: changed, Body: event}, forged},
		"bus's":          {dbus.Signal{Sender: theBus, Path: ObjectPath, Name: changed, Body: event}, same},
		"another object": {dbus.Signal{Sender: ":1.7", Path: "/x", Name: changed, Body: event}, same},
		"older": {dbus.Signal{Sender: ":1.7", Path: ObjectPath, Name: Interface + "." + OlderSignal,
			Body: event}, same},
		"empty": {dbus.Signal{Sender: ":1.7", Path: ObjectPath, Name: changed}, same},
		"new launcher": {dbus.Signal{Sender: theBus, Name: owners, Body: []any{BusName, ":1.7", ":1.9"}},
			result{Resyncs: 1, Owner: ":1.9"}},
		"launcher gone":   {dbus.Signal{Sender: theBus, Name: owners, Body: []any{BusName, ":1.7", ""}}, result{}},
		"another name":    {dbus.Signal{Sender: theBus, Name: owners, Body: []any{"org.x", ":1.7", ":1.9"}}, same},
		"no owner":        {dbus.Signal{Sender: theBus, Name: owners, Body: []any{BusName, ":1.7"}}, same},
		"strange owner":   {dbus.Signal{Sender: theBus, Name: owners, Body: []any{BusName, ":1.7", uint32(9)}}, same},
		"no name":         {dbus.Signal{Sender: theBus, Name: owners, Body: []any{[]string{}, ":1.7", ":1.9"}}, same},
		"forged owner":    {dbus.Signal{Sender: ":1.8", Name: owners, Body: []any{BusName, ":1.7", ":1.8"}}, forged},
		"launcher's word": {dbus.Signal{Sender: ":1.7", Name: owners, Body: []any{BusName, ":1.7", ":1.8"}}, same},
	}
	for name, tt := range tests {
		w := newWatching()
		w.signal(&tt.signal)
		w.signal(&dbus.Signal{Sender: w.owner, Name: "x.y.Z"})
		got := result{w.events, w.resyncs, w.owner, w.forged}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestForgedSignalsAreLoggedOnce checks that nobody can fill the log.
func TestForgedSignalsAreLoggedOnce(t *testing.T) {
	w := newWatching()
	for range 100 {
		w.signal(&dbus.Signal{Sender: ":1.8", Path: ObjectPath, Name: Interface + "." + ChangedSignal})
	}
	if got := strings.Count(w.logged.String(), "\n"); got != 1 || !strings.Contains(w.logged.String(), "sender=:1.8") {
		t.Errorf("%d lines: %s", got, w.logged.String())
	}
}

// TestNoLauncher checks that nobody is the launcher when none runs.
func TestNoLauncher(t *testing.T) {
	w := newWatching()
	w.owner = ""
	w.signal(&dbus.Signal{Path: ObjectPath, Name: Interface + "." + ChangedSignal,
		Body: Event{Server: Server{Key: key(t, "bob", "")}}.Body()})
	if w.events > 0 {
		t.Error("a signal of nobody is an event")
	}
}

// FuzzSignal hands signals with bodies of every type to a watcher, from a sender whom it believes.
func FuzzSignal(f *testing.F) {
	s := Server{Profile: "lab", State: Failed, UID: 5001, Socket: "/run/x", Devices: []string{"x/y=0"}}
	row := s.Row()
	row.User = "bob"
	for name, body := range map[string][]any{
		Interface + "." + ChangedSignal:  {row, "exit-code", int32(137)},
		theBus + "." + nameOwnerChanged:  {BusName, ":1.7", ":1.9"},
		Interface + "." + OlderSignal:    {"bob", "", "stopped", "", int32(0)},
		Interface + ".ServerChanged.Two": {dbus.MakeVariant(row), dbus.MakeVariant("x"), []string{}},
	} {
		sig, raw := bustest.Encode(f, body...)
		f.Add(name, sig, raw)
		f.Add(name, "", []byte{})
		f.Add(name, "(ssssustsas)si", raw[:len(raw)/2])
	}
	f.Fuzz(func(t *testing.T, name, sig string, raw []byte) {
		body, ok := bustest.Decode(sig, raw)
		if !ok {
			return
		}
		w := newWatching()
		for _, sender := range []string{theBus, ":1.7", ":1.8"} {
			w.owner = ":1.7"
			w.signal(&dbus.Signal{Sender: sender, Path: ObjectPath, Name: name, Body: body})
		}
		if w.events+w.resyncs > 1 {
			t.Errorf("%s %v counted twice", name, body)
		}
		_, _ = readEvent(body)
	})
}
