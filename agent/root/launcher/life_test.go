package launcher

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

var (
	seed  = flag.Uint64("seed", 20261123, "of the random lives of launchers")
	lives = flag.Int("lives", 12, "how many random lives")
)

// TestLives lets launchers live at random over one systemd: starts, several at a time, that
// work or fail in every way, ends, crashes, new launchers in the midst of starts, and
// specifications that are written again by other names. After each step it reads from the
// units alone who holds which node, and checks that nobody holds what another has.
func TestLives(t *testing.T) {
	var total counts
	for i := range *lives {
		l := newLife(t, *seed+uint64(i))
		for range 80 {
			l.step()
			l.check()
			if t.Failed() {
				t.Fatalf("life of -seed %d -lives 1", *seed+uint64(i))
			}
		}
		l.endAll()
		total.lent += l.count.lent
		total.taken += l.count.taken
		total.limited += l.count.limited
		total.again += l.count.again
	}
	t.Logf("seed %d: %+v", *seed, total)
	if n := *lives; total.lent < 10*n || total.taken < n || total.limited < n || total.again < 2*n {
		t.Errorf("the lives are too dull to show anything")
	}
}

type counts struct{ lent, taken, limited, again int }

type lifetime struct {
	*host
	r     *rand.Rand
	nodes map[string]string // of each name that a device ever had
	names map[string]string // each node's name now
	count counts
}

// The host: three whole devices, two that two may share, one that is open.
var lifeNodes = map[string]string{"/dev/w0": "whole", "/dev/w1": "whole", "/dev/w2": "whole", "/dev/s0": "shared",
	"/dev/s1": "shared", "/dev/o0": "open"}

const (
	lifePlaces  = 2
	lifePerUser = 3
)

func newLife(t *testing.T, seed uint64) *lifetime {
	l := &lifetime{host: newHost(t), r: rand.New(rand.NewPCG(seed, 2)), nodes: map[string]string{},
		names: map[string]string{}}
	l.text += "default = true\n"
	for name, keys := range map[string]string{
		"one": "gpus = 1\ngpu_kind = \"l.org/whole\"", "two": "gpus = 2\ngpu_kind = \"l.org/whole\"",
		"place": "gpus = 1\ngpu_kind = \"l.org/shared\"",
		"open":  "gpus = \"all\"", "keeps": "gpus = 1\ngpu_kind = \"l.org/whole\"\npersistent = true",
	} {
		l.text += "[profile." + name + "]\nimage = \"a\"\n" + keys + "\n"
	}
	l.text += fmt.Sprintf("[gpus]\nmax_per_user = %d\n[[gpus.device]]\nmatch = [\"l.org/shared=*\"]\nsharing = "+
		"\"shared\"\nplaces = %d\n", lifePerUser, lifePlaces) +
		"[[gpus.device]]\nmatch = [\"l.org/open=*\"]\nsharing = \"open\"\n"
	l.write("0-")
	l.seenBy = func(e launcherbus.Event) {
		if e.State == launcherbus.Stopped || e.State == launcherbus.Failed {
			if got, err := l.l.GPUs(context.Background()); err != nil || heldBy(got, e.Key) != nil {
				t.Errorf("%s is announced as %s and holds %v, %v", e.Key, e.State, heldBy(got, e.Key), err)
			}
		}
	}
	return l
}

// write describes the same hardware by new names.
func (l *lifetime) write(prefix string) {
	kinds := map[string][]string{}
	for i, node := range slices.Sorted(maps.Keys(lifeNodes)) {
		name := fmt.Sprint(prefix, i)
		kinds[lifeNodes[node]] = append(kinds[lifeNodes[node]], name+"="+node)
		l.names[node] = "l.org/" + lifeNodes[node] + "=" + name
		l.nodes[l.names[node]] = node
	}
	for kind, devices := range kinds {
		l.spec("l.org/"+kind, devices...)
	}
}

func (l *lifetime) step() {
	switch n := l.r.IntN(15); {
	case n < 7:
		l.starts(max(1, l.r.IntN(6)-2))
	case n < 11:
		if k, ok := l.anyone(systemd.Active); ok {
			_ = l.l.Stop(l.t.Context(), k)
		}
	case n == 11:
		if k, ok := l.anyone(systemd.Active); ok {
			l.change(l.t.Context(), k.Unit(), systemd.Failed)
		}
	case n == 12: // what waited begins, or never does
		if k, ok := l.anyone(systemd.Inactive); ok && l.r.IntN(2) == 0 {
			l.change(l.t.Context(), k.Unit(), systemd.Activating)
			l.change(l.t.Context(), k.Unit(), systemd.Active)
		} else if ok {
			l.forget(k)
		}
	case n == 13:
		l.count.again++
		l.write(fmt.Sprint(l.count.again, "-"))
	default:
		l.again()
	}
}

// again ends the launcher as a crash would, and starts the next.
func (l *lifetime) again() {
	l.l.Close()
	l.launch()
	known, err := l.l.Adopt(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	l.l.Tidy(l.t.Context(), known)
}

// anyone returns a server whose unit is in that state.
func (l *lifetime) anyone(s systemd.State) (ident.Key, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for name, state := range l.units {
		if state == s && strings.HasPrefix(name, UnitPrefix) {
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		return ident.Key{}, false
	}
	slices.Sort(all)
	k, err := ident.ParseUnit(all[l.r.IntN(len(all))])
	return k, err == nil
}

// forget lets systemd drop a unit that has never begun.
func (l *lifetime) forget(k ident.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.units, k.Unit())
	delete(l.queued, k.Unit())
}

// starts asks for several servers at once.
func (l *lifetime) starts(n int) {
	before, free := l.holders(), l.free()
	waits := false
	var wg sync.WaitGroup
	for _, i := range l.r.Perm(12)[:n] {
		k := l.key([]string{"alice", "bob"}[i%2], []string{"", "x", "y", "z", "u", "v"}[i/2])
		if l.isThere(k) && l.r.IntN(8) > 0 {
			continue
		}
		profile := []string{"one", "one", "two", "two", "place", "place", "place", "open", "keeps", "lab"}[l.r.IntN(10)]
		result := []string{"failed", "canceled", "dependency", "no job", "queued"}[l.r.IntN(5)]
		if l.r.IntN(4) > 0 {
			result = ""
		}
		l.mu.Lock()
		l.results[k.Unit()] = result
		l.mu.Unlock()
		waits = waits || result == "queued"
		wg.Go(func() {
			ctx, end := context.WithCancel(l.t.Context())
			defer end()
			if result == "queued" {
				// The launcher ends while the unit waits.
				wg.Go(func() {
					for !l.isThere(k) && ctx.Err() == nil {
						time.Sleep(100 * time.Microsecond)
					}
					end()
				})
			}
			err := l.l.Start(ctx, launcherbus.StartRequest{Key: k, Profile: profile})
			if n == 1 {
				l.judge(k, profile, err, before, free)
			}
		})
	}
	wg.Wait()
	if waits {
		l.again()
	}
}

func (l *lifetime) isThere(k ident.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.units[k.Unit()] != ""
}

// judge checks the answer to a start that was alone.
func (l *lifetime) judge(k ident.Key, profile string, err error, before map[string][]string, free map[string]int) {
	holds := 0
	for node, by := range before {
		for _, unit := range by {
			if key, err := ident.ParseUnit(unit); err == nil && key.User == k.User && lifeNodes[node] != "open" {
				holds++
			}
		}
	}
	need := map[string]int{"one": 1, "two": 2, "place": 1}[profile]
	kind := map[string]string{"one": "whole", "two": "whole", "place": "shared"}[profile]
	switch codeOf(err) {
	case launcherbus.DevicesTaken:
		l.count.taken++
		if profile != "keeps" && (free[kind] >= need || holds+need > lifePerUser) {
			l.t.Errorf("%s with profile %s is refused while %d are free and they hold %d: %v", k, profile, free[kind],
				holds, err)
		}
	case launcherbus.Refused:
		l.count.limited++
		if profile != "keeps" && holds+need <= lifePerUser || profile == "keeps" && holds < lifePerUser {
			l.t.Errorf("%s with profile %s is refused while they hold %d: %v", k, profile, holds, err)
		}
	case launcherbus.DevicesMissing:
		if profile != "keeps" || l.count.again == 0 {
			l.t.Errorf("%s with profile %s: %v", k, profile, err)
		}
		_ = l.l.Reset(l.t.Context(), k)
		l.mu.Lock()
		delete(l.units, "gifford-reset-"+k.String()+".service")
		l.mu.Unlock()
	case "":
		if err == nil {
			l.count.lent++
		}
	}
}

// holders reads from the units which of them hold each node.
func (l *lifetime) holders() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string][]string{}
	for name, state := range l.units {
		if state == systemd.Failed || state == systemd.Inactive && !l.queued[name] {
			continue
		}
		for _, e := range l.env[name] {
			if devices, ok := strings.CutPrefix(e, "GIFFORD_DEVICES="); ok {
				for device := range strings.SplitSeq(devices, ",") {
					all[l.nodes[device]] = append(all[l.nodes[device]], name)
				}
			}
		}
	}
	return all
}

// free counts places of each kind.
func (l *lifetime) free() map[string]int {
	held, free := l.holders(), map[string]int{}
	for node, kind := range lifeNodes {
		switch {
		case kind == "whole" && len(held[node]) == 0, kind == "shared" && len(held[node]) < lifePlaces:
			free[kind]++
		}
	}
	return free
}

func (l *lifetime) check() {
	each := map[string]int{}
	for node, by := range l.holders() {
		if most := map[string]int{"whole": 1, "shared": lifePlaces, "open": 99}[lifeNodes[node]]; len(by) > most {
			l.t.Errorf("%s (%s) is held by %v", l.names[node], node, by)
		}
		for _, unit := range by {
			if k, err := ident.ParseUnit(unit); err == nil && lifeNodes[node] != "open" {
				each[k.User.String()]++
			}
		}
	}
	for user, n := range each {
		if n > lifePerUser {
			l.t.Errorf("%s holds %d", user, n)
		}
	}
}

// endAll stops what there is and checks that all can be lent again.
func (l *lifetime) endAll() {
	for {
		k, ok := l.anyone(systemd.Active)
		if !ok {
			break
		}
		if err := l.l.Stop(l.t.Context(), k); err != nil {
			l.t.Fatal(err)
		}
	}
	for {
		k, ok := l.anyone(systemd.Inactive)
		if !ok {
			break
		}
		l.forget(k)
	}
	g, err := l.l.GPUs(l.t.Context())
	if err != nil || len(g.Devices) != len(lifeNodes) {
		l.t.Fatalf("%+v, %v", g, err)
	}
	for _, d := range g.Devices {
		if len(d.Holders) > 0 {
			l.t.Errorf("%s is lost: held by %v", d.Name, d.Holders)
		}
	}
	if n := len(l.l.lending.lent); n > 0 {
		l.t.Errorf("%d leases of no unit", n)
	}
}
