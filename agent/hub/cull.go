package hub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// culling makes what stops idle servers; nil when it is off.
func (h *instance) culling(unix memberships) (*cull.Culler, error) {
	c := h.cfg.Cull
	if !c.Enabled {
		return nil, nil
	}
	env, err := h.env()
	if err != nil {
		return nil, err
	}
	rules := &cullRules{policies: cullPolicies(c), unix: unix, groups: h.authority.Groups,
		known: map[ident.User]knownPolicy{}}
	return cull.New(cull.Config{
		Servers: h.servers, Policy: rules.policy, OnCull: h.metrics.Culled, Every: c.Every, Log: h.log,
		Traffic: h.proxy.Activity, Touch: h.touch,
		Usage: processorUse(os.DirFS("/sys/fs/cgroup")), BusyCPU: float64(c.BusyCPU) / 100,
		GPUs: h.launcher.GPUs, BusyGPU: float64(c.BusyGPU) / 100, Memory: h.store,
		StartWithoutGPUs: func(k ident.Key, profile string) error {
			return h.servers.Start(k, profile, servers.Options{WithoutGPUs: true})
		},
		Ask: cull.Jupyter{Tokens: h.store, Prefix: env.Prefix, Connected: c.Connected,
			Route: h.proxy.Lookup},
	})
}

// touch records that a person wanted a server kept. What the database does not take is
// only gone with the next restart.
func (h *instance) touch(key ident.Key, at time.Time) {
	h.servers.Touch(key, at)
	if err := h.store.TouchServer(context.Background(), key, at); err != nil {
		h.log.Warn("cannot note a server's activity", "event", "activity-unwritten", "user", key.User.String(), "unit",
			key.Unit(), "error", err.Error())
	}
}

// remember makes the users of the servers that run known, whose database may be younger
// than they are, and gives the servers their last activity, which the hub alone knows.
func (h *instance) remember(ctx context.Context) {
	for _, s := range h.servers.List() {
		if err := h.know(ctx, s.Key.User); err != nil {
			h.log.Warn("cannot note whose a server is", "event", "user-unwritten", "user", s.Key.User.String(), "error",
				err.Error())
		}
		if record, err := h.store.ServerByKey(ctx, s.Key); err == nil {
			h.servers.Touch(s.Key, record.LastActivity)
		}
	}
}

// know makes a user known to the hub who has a server and may never have signed in.
func (h *instance) know(ctx context.Context, u ident.User) error {
	if err := h.store.CreateUser(ctx, store.User{Name: u}); err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	return nil
}

// cullPolicies hands the settings on.
func cullPolicies(c config.Cull) cull.Policies {
	ps := cull.Policies{Default: cull.Policy{Idle: c.Idle, MaxAge: c.MaxAge, MaxAgeBusy: c.MaxAgeBusy, Notice: c.Notice,
		GPUIdle: c.GPUIdle, GPURestart: c.GPUAction == config.GPURestart}, Groups: map[string]cull.Override{}}
	for name, g := range c.Groups {
		ps.Groups[name] = cull.Override(g)
	}
	return ps
}

// memberships reports who is in which Unix group.
type memberships interface {
	MemberOf(ctx context.Context, user ident.User, group string) (bool, error)
}

// cullRules finds the policy for a person, and asks the name service seldom.
type cullRules struct {
	policies cull.Policies
	unix     memberships
	groups   func(ctx context.Context, user ident.User) ([]string, error) // the hub's own

	mu    sync.Mutex // guards known
	known map[ident.User]knownPolicy
}

type knownPolicy struct {
	policy cull.Policy
	since  time.Time
}

// knownFor is how long a person's groups are taken for the same.
const knownFor = 10 * time.Minute

func (r *cullRules) policy(ctx context.Context, user ident.User) (cull.Policy, error) {
	r.mu.Lock()
	k, ok := r.known[user]
	r.mu.Unlock()
	if ok && time.Since(k.since) < knownFor {
		return k.policy, nil
	}
	groups, err := r.groups(ctx, user)
	if err != nil {
		return cull.Policy{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.policies.Groups)) {
		member, err := r.unix.MemberOf(ctx, user, name)
		if err != nil {
			return cull.Policy{}, err
		}
		if member {
			groups = append(groups, name)
		}
	}
	p := r.policies.For(groups)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[user] = knownPolicy{p, time.Now()}
	return p, nil
}

// slice is where the launcher puts the members' units (agent/root/unit).
const slice = "jupyter.slice"

// processorUse reads the processor time of units below the cgroup file system (cgroup-v2:
// cpu.stat, which everybody may read).
func processorUse(cgroups fs.FS) func(context.Context, ident.Key) (time.Duration, bool) {
	return func(_ context.Context, key ident.Key) (time.Duration, bool) {
		f, err := cgroups.Open(path.Join(slice, key.Unit(), "cpu.stat"))
		if err != nil {
			return 0, false
		}
		defer func() { _ = f.Close() }()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "usage_usec "); ok {
				micros, err := strconv.ParseInt(text, 10, 64)
				return time.Duration(micros) * time.Microsecond, err == nil
			}
		}
		return 0, false
	}
}

// warnUnknownGroups tells of groups that nobody is in because they do not exist.
func (h *instance) warnUnknownGroups(ctx context.Context, unix interface {
	GroupExists(ctx context.Context, group string) (bool, error)
}) {
	for _, name := range slices.Sorted(maps.Keys(h.cfg.Cull.Groups)) {
		if _, err := h.store.GroupByName(ctx, name); err == nil {
			continue
		}
		if ok, err := unix.GroupExists(ctx, name); err == nil && !ok {
			h.log.Warn(fmt.Sprintf("culling: there is neither a Unix group nor a group of the hub %q", name), "event",
				"cull-problem")
		}
	}
}
