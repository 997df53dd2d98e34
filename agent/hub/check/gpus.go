package check

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// measuredWithin is how old what gifford-gpus measured may be: it measures every ten
// seconds.
const measuredWithin = time.Minute

// drivers are nodes that a vendor's driver makes, and the command that describes its
// devices.
var drivers = []struct{ node, kind, generate string }{
	{"/dev/nvidia0", "nvidia.com/", "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"},
	{"/dev/kfd", "amd.com/", "amd-ctk cdi generate --output=/etc/cdi/amd.json"},
}

// gpus reports what prevents members from getting the host's devices. It has no finding on a host that has none and
// whose profiles want none.
func gpus(ctx context.Context, r *run) []finding {
	inv := r.GPUs()
	found := r.unnamed(inv)
	for _, b := range inv.Broken {
		found = append(found, fail("nvidia-ctk cdi list, or the tool that wrote it; then write it again, or remove it",
			"%s cannot be used: %s", b.File, b.Reason)...)
	}
	for _, s := range inv.Specs {
		found = append(found, r.format(ctx, s)...)
		found = append(found, r.nodes(ctx, s)...)
	}
	if len(inv.Devices) > 0 {
		found = append(found, r.rules(ctx, inv.Devices)...)
		found = append(found, r.measured()...)
	}
	found = append(found, r.lent(ctx, len(inv.Devices) > 0)...)
	if len(inv.Devices) == 0 {
		return found
	}
	if found == nil {
		found = ok("%s", count(len(inv.Devices), "device"))
	}
	return append(found, r.seLinux()...)
}

// unnamed finds a driver whose devices no specification describes.
func (r *run) unnamed(inv gpu.Inventory) []finding {
	if len(inv.Broken) > 0 {
		return nil // it may be the one
	}
	var found []finding
	for _, d := range drivers {
		_, err := r.Host.Stat(d.node)
		if err == nil && !slices.ContainsFunc(inv.Specs, func(s gpu.Spec) bool {
			return slices.Contains(s.Nodes,
				d.node)
		}) {
			found = append(found, warn(d.generate, "%s is there, but in no CDI specification: notebooks cannot get "+
				"that GPU", d.node)...)
		}
	}
	return found
}

// formats are the newest versions of the format that releases of Podman support, by release: those that were tested
// (docs/gpus.md). Others are unknown.
var formats = map[version]version{{4, 3}: {0, 5}, {5, 4}: {0, 8}}

// format reports whether Podman knows the version of a specification's format.
func (r *run) format(ctx context.Context, s gpu.Spec) []finding {
	podman, err := r.podmanVersion(ctx)
	newest, tried := formats[podman]
	is := parseVersion(s.Version)
	if err != nil || !tried || !newest.less(is.major, is.minor) {
		return nil
	}
	return fail(fmt.Sprintf("write cdiVersion \"%s.0\" in %s, unless it uses what is newer", newest, s.File),
		"%s has the format %s, but Podman %s supports only those up to %s.0: servers with its devices do not start",
		s.File, s.Version, podman, newest)
}

// generate is the command that writes the specifications of a kind.
func generate(kind string) string {
	for _, d := range drivers {
		if strings.HasPrefix(kind, d.kind) {
			return d.generate
		}
	}
	return "load the driver of " + kind + ", or write its specification in /etc/cdi again with the vendor's tool"
}

// rules finds names in the policy's [gpus] that match nothing on this host.
func (r *run) rules(ctx context.Context, devices []gpu.Device) []finding {
	if r.policy == nil {
		return nil // another check says so
	}
	var found []finding
	const fix = "gifford-hub gpus; sudoedit " + policy.File
	groups := map[string]bool{}
	for _, rule := range r.policy.GPUs.Devices {
		for _, pattern := range rule.Match {
			if !slices.ContainsFunc(devices, func(d gpu.Device) bool { return named(d, pattern) }) {
				found = append(found, warn(fix, "no device of this host is called %q, as [[gpus.device]] says",
					pattern)...)
			}
		}
		for _, g := range rule.UnixGroups {
			groups[g] = true
		}
	}
	for _, g := range r.policy.GPUs.Groups {
		groups[g.Name] = true
	}
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		if _, err := r.Host.Run(ctx, "getent", "group", g); err != nil {
			found = append(found, warn("getent group "+g+"; sudoedit "+policy.File,
				"the Unix group %q of [gpus] is unknown on this host", g)...)
		}
	}
	return found
}

func named(d gpu.Device, pattern string) bool {
	return slices.ContainsFunc(append([]string{d.Name}, d.Aliases...), func(name string) bool {
		ok, _ := path.Match(pattern, name) // the policy's patterns have been checked
		return ok
	})
}

// measured reports whether gifford-gpus runs, and what the vendor's tools report.
func (r *run) measured() []finding {
	const fix = "systemctl restart gifford-gpus; systemctl status gifford-gpus"
	state, err := r.GPUState()
	switch {
	case err != nil:
		return warn(fix, "names, memory and use of the devices are unknown: %v", err)
	case state.Measured.IsZero():
		return warn(fix, "names, memory and use of the devices are unknown: gifford-gpus does not run")
	case time.Since(state.Measured) > measuredWithin:
		return warn(fix, "gifford-gpus has measured nothing since %s", state.Measured.Format("2006-01-02 15:04:05"))
	}
	var found []finding
	for _, t := range state.Tools {
		if t.Error != "" {
			found = append(found, warn(t.Name, "%s reports nothing: %s", t.Name, t.Error)...)
		}
	}
	for _, d := range state.Devices {
		if d.Health != "" {
			found = append(found, warn("journalctl -k --grep='NVRM|amdgpu'", "%s is not lent to anybody: %s", d.Node,
				d.Health)...)
		}
	}
	return found
}

// lent asks the launcher what it lends: whether each profile can get its devices, and which other processes use them.
func (r *run) lent(ctx context.Context, have bool) []finding {
	if r.Launcher == nil {
		return nil // another check says so
	}
	profiles, err := r.Launcher.Profiles(ctx)
	if err != nil || !have && !anyWants(profiles) {
		return nil
	}
	all, err := r.Launcher.GPUs(ctx)
	if err != nil {
		return unknown("journalctl -u gifford-launcher", "the launcher cannot list devices: %v", err)
	}
	var found []finding
	for _, p := range profiles {
		found = append(found, wants(p, all)...)
	}
	for _, d := range all.Devices {
		for _, p := range d.Strangers {
			found = append(found, warn(fmt.Sprintf("ps -fp %d; kill %d", p.PID, p.PID),
				"process %d (%s, user %d) is on %s, which no server of that user holds", p.PID, p.Command, p.UID,
				d.Name)...)
		}
	}
	return found
}

func anyWants(profiles []launcherbus.Profile) bool {
	for _, p := range profiles {
		if p.GPUs > 0 {
			return true
		}
	}
	return false
}

// wants compares a profile with the devices that it can get.
func wants(p launcherbus.Profile, all launcherbus.GPUs) []finding {
	can := 0
	for _, d := range all.Devices {
		for _, name := range d.Profiles {
			if name == p.Name {
				can++
			}
		}
	}
	if can >= int(p.GPUs) {
		return nil
	}
	return fail("gifford-hub gpus; sudoedit "+policy.File, "profile %q wants %s of this host, which has %d: it "+
		"never starts with them",
		p.Name, count(int(p.GPUs), "device"), can)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// seLinux says that the switch which other guides name is not needed: it is about
// container_t, in which containers with "label=disable" do not run.
func (r *run) seLinux() []finding {
	b, err := r.Host.ReadFile("/sys/fs/selinux/enforce")
	if err != nil || strings.TrimSpace(string(b)) != "1" {
		return nil
	}
	return ok("SELinux is enforcing; the boolean container_use_devices does not matter, since notebooks run with " +
		"label=disable")
}
