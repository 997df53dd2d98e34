package check

import (
	"context"
	"slices"
	"strings"
)

const (
	cgroupRoot      = "/sys/fs/cgroup/"
	sysctlDirectory = "/proc/sys/"
)

// cgroups checks for the unified hierarchy and the controllers of the limits.
func cgroups(_ context.Context, r *run) []finding {
	b, err := r.Host.ReadFile(cgroupRoot + "cgroup.controllers")
	if err != nil {
		return fail("add systemd.unified_cgroup_hierarchy=1 to the kernel's command line and reboot",
			"cgroup v2 is not mounted on %s", cgroupRoot)
	}
	has := strings.Fields(string(b))
	var missing []string
	for _, c := range []string{"memory", "cpu", "pids"} {
		if !slices.Contains(has, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return warn("cat /proc/cgroups; take cgroup_disable= and cgroup v1 mounts off the kernel's command line",
			"cgroup v2 without %s: those limits are accepted and enforce nothing", strings.Join(missing, ", "))
	}
	return ok("cgroup v2 with memory, cpu and pids")
}

// kernel compares with the releases that brought overlayfs in user namespaces (5.13 with
// extended attributes) and idmapped overlay mounts (5.19).
func kernel(_ context.Context, r *run) []finding {
	b, err := r.Host.ReadFile(sysctlDirectory + "kernel/osrelease")
	if err != nil {
		return unknown("uname -r", "cannot read the kernel's release")
	}
	release := strings.TrimSpace(string(b))
	v := parseVersion(release)
	switch {
	case v.less(5, 13):
		return warn("install a newer kernel, or fuse-overlayfs",
			"Linux %s has no overlayfs for rootless Podman: images are slow", release)
	case v.less(5, 19):
		return warn("install a newer kernel", "Linux %s cannot share one image between members (needs 5.19): each "+
			"has a copy", release)
	}
	return ok("Linux %s", release)
}

// userNamespaces reads the switches that distributions have, then makes one for real as
// the user nobody (as whoever runs the check when that is not root).
func userNamespaces(ctx context.Context, r *run) []finding {
	for _, s := range []struct{ file, bad, fix string }{
		{"user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=65536, and the same in /etc/sysctl.d/"},
		{"kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1, and the same in " +
			"/etc/sysctl.d/"},
	} {
		if r.sysctl(s.file) == s.bad {
			return fail(s.fix, "%s is %s", strings.ReplaceAll(s.file, "/", "."), s.bad)
		}
	}
	if r.sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1" {
		return r.appArmor()
	}
	command := []string{"unshare", "--user", "--map-root-user", "true"}
	if r.Host.Root() {
		command = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, command...)
	}
	if _, err := r.Host.Run(ctx, command[0], command[1:]...); err != nil {
		return fail("journalctl -k --grep=userns", "an unprivileged process cannot make a user namespace: %v", err)
	}
	return ok("an unprivileged process can make one")
}

// appArmor is about Ubuntu 23.10 and later, where a program needs a profile with the
// rule "userns" (kernel.apparmor_restrict_unprivileged_userns).
func (r *run) appArmor() []finding {
	const fix = "apt install --reinstall apparmor podman crun && systemctl reload apparmor"
	for _, name := range []string{"podman", "crun"} {
		if _, err := r.Host.Stat("/etc/apparmor.d/" + name); err != nil {
			return fail(fix, "AppArmor forbids user namespaces to programs without a profile, and %s has none", name)
		}
	}
	return ok("AppArmor restricts them, and podman and crun have their profiles")
}

func (r *run) sysctl(file string) string {
	b, err := r.Host.ReadFile(sysctlDirectory + file)
	if err != nil {
		return "" // the switch is not there on other distributions
	}
	return strings.TrimSpace(string(b))
}

// tun checks the device; containers and small kernels lack it.
func tun(_ context.Context, r *run) []finding {
	f, err := r.Host.Stat("/dev/net/tun")
	if err != nil {
		return fail("modprobe tun && echo tun >/etc/modules-load.d/tun.conf", "/dev/net/tun does not exist")
	}
	if f.Mode.Perm()&0o006 != 0o006 {
		return fail("chmod 0666 /dev/net/tun", "/dev/net/tun is not open to members (mode %04o)", f.Mode.Perm())
	}
	return ok("/dev/net/tun exists")
}
