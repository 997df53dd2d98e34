package keeper

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// stepInterval is the least time between two steps of one layer that say the same: at most five updates a second.
const stepInterval = 200 * time.Millisecond

// Pull asks the registry for a name again. A rollback of the name is over then. A pull that is not detached ends when
// nobody follows it any more.
func (k *Keeper) Pull(name string, detached bool) (*job, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	name, err = normal(name)
	if err != nil {
		return nil, err
	}
	if err := allowed(rules, name); err != nil {
		return nil, err
	}
	return k.sharePull(rules, name, detached), nil
}

// sharePull returns the job that brings a name, or begins a pull.
func (k *Keeper) sharePull(rules *policy.Policy, name string, stays bool) *job {
	return k.share(name, name, stays, func(ctx context.Context, j *job) (string, error) {
		return k.renew(ctx, rules, name, nil, func() (string, error) {
			return "", k.pullName(ctx, rules, name, j) // Podman names it
		})
	})
}

// Refreshable names what a timer pulls: images of profiles that come from a registry, are not pinned to a digest and
// not held by a rollback.
func (k *Keeper) Refreshable() ([]string, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range rules.Profiles {
		name, err := normal(p.Image)
		if err == nil && p.Pull == policy.PullMissing && p.Archive == "" && !pinned(name) && !h.of(name).Held &&
			!slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}

func (k *Keeper) pullName(ctx context.Context, rules *policy.Policy, name string, j *job) error {
	j.add(imagekeeper.Progress{Image: name, Message: "pulling " + name})
	w := k.watch(ctx, rules)
	defer w.end()
	w.pace.begin(registryOf(name))
	var last time.Time
	var shown string
	err := k.cfg.Podman.pull(w.ctx, name, func(s layerStep) {
		w.pace.step(s)
		if s.Unpacking {
			return
		}
		now := s.Layer + s.Status
		if now == shown && time.Since(last) < stepInterval && s.Current < s.Total {
			return
		}
		shown, last = now, time.Now()
		j.add(imagekeeper.Progress{Image: name, Layer: s.Layer, Message: s.Status, Current: s.Current, Total: s.Total})
	})
	return notPulled(name, w.reason(err))
}

// registryOf returns the host of a normal name.
func registryOf(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.Domain(named)
}

// notPulled adds the image to a pull's error and, where a registry asks who pulls, the next step. Podman's API passes
// the registry's refusal (RFC 9110, 401) on as text alone.
func notPulled(name string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("cannot pull image %s: %w", name, err)
	if text := err.Error(); strings.Contains(text, "unauthorized") ||
		strings.Contains(text, "authentication required") {
		return hint.With(err, "a name and password in /etc/gifford-hub/registry-auth.json, as podman login "+
			"--authfile writes it; then: systemctl restart gifford-images")
	}
	return err
}
