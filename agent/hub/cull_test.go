package hub

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/accounting"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestProcessorUse(t *testing.T) {
	const dir = "jupyter.slice/jupyter-alice.service"
	file := func(text string) fstest.MapFS { return fstest.MapFS{dir + "/cpu.stat": {Data: []byte(text)}} }
	tests := map[string]struct {
		files fstest.MapFS
		want  time.Duration
		ok    bool
	}{
		"as the kernel writes it": {file("usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n"),
			1234567 * time.Microsecond, true},
		"not the first line": {file("x 1\nusage_usec 5\n"), 5 * time.Microsecond, true},
		"no such unit":       {fstest.MapFS{}, 0, false},
		"no such line":       {file("user_usec 1\n"), 0, false},
		"no number":          {file("usage_usec many\n"), 0, false},
	}
	alice, err := ident.ParseKey("alice", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := processorUse(tt.files)(t.Context(), alice); got != tt.want || ok != tt.ok {
				t.Errorf("%v, %v; want %v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestCounters(t *testing.T) {
	const dir = "jupyter.slice/jupyter-alice.service"
	cpu := &fstest.MapFile{Data: []byte("usage_usec 2000000\n")}
	tests := map[string]struct {
		files fstest.MapFS
		want  accounting.Counters
		ok    bool
	}{
		"as the kernel writes them": {fstest.MapFS{dir + "/cpu.stat": cpu,
			dir + "/memory.current": {Data: []byte("4096\n")}}, accounting.Counters{CPU: 2 * time.Second, Memory: 4096},
			true},
		"no such unit": {fstest.MapFS{}, accounting.Counters{}, false},
		"no memory": {fstest.MapFS{dir + "/cpu.stat": cpu},
			accounting.Counters{CPU: 2 * time.Second, Memory: -1}, true},
		"no number": {fstest.MapFS{dir + "/cpu.stat": cpu,
			dir + "/memory.current": {Data: []byte("max\n")}}, accounting.Counters{CPU: 2 * time.Second, Memory: -1},
			true},
	}
	alice, err := ident.ParseKey("alice", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := counters(tt.files)(t.Context(), alice)
			if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
				t.Errorf("ok %v, counters (-want +got):\n%s", ok, diff)
			}
		})
	}
}

// directory knows who is in which group, until it is down.
type directory struct {
	groups map[string]string // of one member each
	down   error
	asked  int
}

func (d *directory) MemberOf(_ context.Context, user ident.User, group string) (bool, error) {
	d.asked++
	return d.groups[group] == user.String(), d.down
}

func TestCullRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eight := 8 * time.Hour
		d := &directory{groups: map[string]string{"staff": "alice", "gpu": "bob"}}
		hub := func(_ context.Context, user ident.User) ([]string, error) {
			if user.String() == "dora" {
				return []string{"staff", "cgs"}, nil // by the provider's claim or the API
			}
			return nil, nil
		}
		r := &cullRules{unix: d, groups: hub, known: map[ident.User]knownPolicy{},
			policies: cullPolicies(config.Cull{Idle: time.Hour, Notice: time.Minute, MaxAgeBusy: true,
				GPUIdle: 2 * time.Hour, GPUAction: "restart",
				Groups: map[string]config.CullGroup{"staff": {Idle: &eight, GPUIdle: &eight}, "gpu": {Exempt: true}}})}
		for name, want := range map[string]cull.Policy{
			"alice": {Idle: eight, Notice: time.Minute, MaxAgeBusy: true, GPUIdle: eight, GPURestart: true},
			"dora":  {Idle: eight, Notice: time.Minute, MaxAgeBusy: true, GPUIdle: eight, GPURestart: true},
			"bob": {Idle: time.Hour, Notice: time.Minute, MaxAgeBusy: true, Exempt: true, GPUIdle: 2 * time.Hour,
				GPURestart: true},
			"carol": {Idle: time.Hour, Notice: time.Minute, MaxAgeBusy: true, GPUIdle: 2 * time.Hour, GPURestart: true},
		} {
			user, err := ident.ParseUser(name)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				got, err := r.policy(t.Context(), user)
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s: error %v, policy (-want +got):\n%s", name, err, diff)
				}
			}
		}
		if d.asked != 8 {
			t.Errorf("the name service was asked %d times for four people and two groups", d.asked)
		}
		time.Sleep(knownFor)
		d.down = errors.New("no answer")
		alice, _ := ident.ParseUser("alice")
		if p, err := r.policy(t.Context(), alice); err == nil {
			t.Errorf("without the name service the policy is %+v", p)
		}
	})
}
