package handover

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCheck changes a good Config at one place each.
func TestCheck(t *testing.T) {
	listeners := map[string][]net.Listener{"public": nil}
	for name, tt := range map[string]struct {
		cfg  Config
		want string // "" where it is good
	}{
		"good":         {Config{Path: "/bin/hub", Listeners: listeners}, ""},
		"relative":     {Config{Path: "hub", Listeners: listeners}, "not absolute"},
		"no path":      {Config{Listeners: listeners}, "not absolute"},
		"no listeners": {Config{Path: "/bin/hub"}, ErrNoListeners.Error()},
		"no name":      {Config{Path: "/bin/hub", Listeners: map[string][]net.Listener{"": nil}}, "is empty"},
		"a colon":      {Config{Path: "/bin/hub", Listeners: map[string][]net.Listener{"a:b": nil}}, "has a colon"},
	} {
		err := tt.cfg.check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	set := Config{Path: "/bin/hub", Listeners: listeners, Timeout: 1, Stderr: os.Stdout}
	if err := set.check(); err != nil || set.Timeout != 1 || set.Stderr != os.Stdout {
		t.Errorf("%+v, %v", set, err)
	}
	for _, timeout := range []time.Duration{0, -1} {
		unset := Config{Path: "/bin/hub", Listeners: listeners, Timeout: timeout}
		if err := unset.check(); err != nil || unset.Timeout != time.Minute || unset.Stderr != os.Stderr {
			t.Errorf("%+v, %v", unset, err)
		}
	}
}

// TestQuiet checks when the connections that were accepted before the listeners closed count as served.
func TestQuiet(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		closed, changed time.Duration // ago
		fresh           []time.Duration
		want            bool
	}{
		"just closed":            {settle - 1, time.Hour, nil, false},
		"closed":                 {settle, time.Hour, nil, true},
		"just changed":           {time.Hour, settle - 1, nil, false},
		"changed":                {time.Hour, settle, nil, true},
		"a connection may speak": {time.Hour, time.Hour, []time.Duration{silent, silent - 1}, false},
		"a connection is silent": {time.Hour, time.Hour, []time.Duration{silent}, true},
	} {
		d := &Drainer{fresh: map[net.Conn]time.Time{}, changed: now.Add(-tt.changed)}
		for _, ago := range tt.fresh {
			conn, other := net.Pipe()
			defer func() { _, _ = conn.Close(), other.Close() }()
			d.fresh[conn] = now.Add(-ago)
		}
		if got := d.quiet(now.Add(-tt.closed), now); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestFollow checks what the lines on the ready pipe mean.
func TestFollow(t *testing.T) {
	for name, tt := range map[string]struct {
		lines string
		pid   int
		ready bool
		err   bool
	}{
		"ready":            {pidPrefix + "7\n" + readyLine, 7, true, false},
		"ended":            {pidPrefix + "7\n", 7, false, false},
		"nothing":          {"", 0, false, false},
		"no number":        {pidPrefix + "x\n" + readyLine, 0, false, true},
		"words in between": {"hello\n" + pidPrefix + "8\nbye\n", 8, false, false},
	} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = write.WriteString(tt.lines)
		_ = write.Close()
		pid, ready, err := follow(read)
		if pid != tt.pid || ready != tt.ready || (err != nil) != tt.err {
			t.Errorf("%s: %d, %v, %v", name, pid, ready, err)
		}
		_ = read.Close()
	}
}

func TestLastLines(t *testing.T) {
	for in, want := range map[string]string{"": "", "a\n": "a", "a\nb\nc\n": "b\nc", "\n\na\n": "a"} {
		if got := lastLines(in, 2); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// TestOutputTail checks that a talkative process leaves its last words and no more than these.
func TestOutputTail(t *testing.T) {
	o := &output{done: make(chan struct{})}
	close(o.done)
	if got := o.last(); got != "" {
		t.Errorf("of silence: %q", got)
	}
	for range 3 {
		_, _ = o.Write([]byte(strings.Repeat("x", tailBytes/2) + "\n"))
	}
	_, _ = o.Write([]byte("the end\n"))
	if len(o.tail) != tailBytes || !strings.HasSuffix(o.last(), "\nthe end") {
		t.Errorf("%d bytes, %.40q", len(o.tail), o.last())
	}
}

func TestWithout(t *testing.T) {
	got := without([]string{"A=1", "AB=2", "B=3", "C", "=D"}, "A", "C")
	if want := []string{"AB=2", "B=3", "=D"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
