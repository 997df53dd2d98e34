package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	systemdLeast   = 252
	hubUser        = "gifford-hub"
	stateDirectory = "/var/lib/gifford-hub"

	// launcherTimeout is D-Bus's own for starting a service (25 s) and a little.
	launcherTimeout = 30 * time.Second
)

func systemdVersion(ctx context.Context, r *run) []finding {
	out, err := r.Host.Run(ctx, "systemctl", "--version")
	if err != nil {
		return fail("run the hub on a host whose process 1 is systemd", "systemctl does not run: %v", err)
	}
	v := parseVersion(out)
	if v.major < systemdLeast {
		return fail("upgrade to Debian 12, Ubuntu 24.04, RHEL 9 or later", "systemd %d; %d or later is needed", v.major,
			systemdLeast)
	}
	if _, err := r.Host.Stat("/run/systemd/system"); err != nil {
		return fail("run the hub on a host whose process 1 is systemd",
			"systemd %d is installed, but this host did not boot with it", v.major)
	}
	return ok("systemd %d", v.major)
}

// linger asks logind, which runs user managers.
func linger(ctx context.Context, r *run) []finding {
	if _, err := r.Host.Run(ctx, "loginctl", "--no-pager", "--no-legend", "list-users"); err != nil {
		return fail("systemctl unmask systemd-logind && systemctl start systemd-logind",
			"systemd-logind does not answer: %v", err)
	}
	if r.User.IsZero() {
		return ok("systemd-logind answers")
	}
	out, err := r.Host.Run(ctx, "loginctl", "show-user", "--property=Linger", "--value", r.User.String())
	if err != nil || out != "yes" {
		return ok("systemd-logind answers; the launcher lets %s linger at the first start", r.User)
	}
	return ok("systemd-logind answers; %s lingers", r.User)
}

func clock(ctx context.Context, r *run) []finding {
	out, err := r.Host.Run(ctx, "timedatectl", "show", "--property=NTPSynchronized", "--value")
	switch {
	case err != nil:
		return unknown("timedatectl", "timedatectl does not say whether the clock is synchronized: %v", err)
	case out != "yes":
		return warn("timedatectl set-ntp true   (or: apt install chrony)", "nothing synchronizes the clock")
	}
	return ok("the clock is synchronized")
}

// launcherAnswers calls the launcher, which D-Bus starts for it.
func launcherAnswers(ctx context.Context, r *run) []finding {
	if r.Launcher == nil {
		return fail("systemctl start dbus", "cannot reach the system bus: %v", r.LauncherError)
	}
	ctx, cancel := context.WithTimeout(ctx, launcherTimeout)
	defer cancel()
	profiles, err := r.Launcher.Profiles(ctx)
	if err != nil && !r.Host.Root() {
		return unknown(asRoot, "the launcher answers only the hub and root")
	}
	switch {
	case err != nil:
		return fail("journalctl -u gifford-launcher; systemctl reload dbus; systemctl start gifford-launcher", "%v",
			err)
	case len(profiles) == 0:
		return fail("add a [profile.NAME] to /etc/gifford-hub/launcher.toml",
			"the launcher answers, but its policy has no profile")
	}
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return ok("the launcher answers; profiles: %s", strings.Join(names, ", "))
}

// sockets checks each socket unit, and who else has its ports.
func sockets(ctx context.Context, r *run) []finding {
	var found []finding
	for _, unit := range []string{"gifford-hub.socket", serversSocket, "gifford-hub-api.socket", api6Socket} {
		out, err := r.Host.Run(ctx, "systemctl", "show", "--property=LoadState,ActiveState,Listen", unit)
		if err != nil || strings.Contains(out, "LoadState=not-found") {
			found = append(found, fail("apt install --reinstall gifford-hub", "the unit %s does not exist", unit)...)
			continue
		}
		if unit == api6Socket && r.withoutIPv6() {
			continue
		}
		if strings.Contains(out, "ActiveState=active") {
			found = append(found, ok("%s listens on %s", unit, strings.Join(listenAddresses(out), ", "))...)
			continue
		}
		found = append(found, r.inactive(unit, out)...)
	}
	return found
}

const (
	serversSocket = "gifford-hub-servers.socket"
	api6Socket    = "gifford-hub-api6.socket"
)

// withoutIPv6 reports whether the kernel has no IPv6, and nobody can listen on ::1.
func (r *run) withoutIPv6() bool {
	_, err := r.Host.Stat("/proc/net/if_inet6")
	return errors.Is(err, fs.ErrNotExist)
}

var listen = regexp.MustCompile(`(?m)^Listen=(\S+)`)

func listenAddresses(show string) []string {
	var all []string
	for _, m := range listen.FindAllStringSubmatch(show, -1) {
		all = append(all, m[1])
	}
	return all
}

// inactive says why a socket cannot be started, or that it should be.
func (r *run) inactive(unit, show string) []finding {
	for _, address := range listenAddresses(show) {
		n, err := strconv.Atoi(address[strings.LastIndexByte(address, ':')+1:])
		if err != nil {
			continue // a path
		}
		program, err := r.Host.Listener(n)
		switch {
		case err != nil:
			return unknown(asRoot, "%s is not active, and the listener on port %d cannot be seen: %v", unit, n, err)
		case program == "systemd" || program == "gifford-hub":
			continue // another socket unit's
		case program == "docker-proxy" || program == "dockerd":
			return fail(fmt.Sprintf("docker ps --filter publish=%d; docker stop NAME; docker update --restart=no NAME",
				n),
				"%s cannot listen on port %d: a Docker container has it, perhaps the old hub", unit, n)
		case program != "":
			return fail(fmt.Sprintf("ss -ltnp 'sport = :%d'; then stop that program, or change the port: systemctl "+
				"edit %s", n, unit),
				"%s cannot listen on port %d: %s has it", unit, n, program)
		}
	}
	switch unit {
	case serversSocket:
		return warn("systemctl restart gifford-hub.service", "%s is not active: servers reach the hub over a port of "+
			"the host's loopback until the hub has been restarted", unit)
	case api6Socket:
		return warn("systemctl restart gifford-hub.service", "%s is not active: any account can listen there", unit)
	}
	return warn("systemctl enable --now gifford-hub.socket", "%s is not active: nobody can reach the hub", unit)
}

// state checks the directory that systemd makes for the hub.
func state(_ context.Context, r *run) []finding {
	directory := stateDirectory
	if r.settings != nil && r.settings.State.Directory != "" {
		directory = r.settings.State.Directory
	}
	f, err := r.Host.Stat(directory)
	switch {
	case errors.Is(err, fs.ErrNotExist) && directory == stateDirectory:
		return ok("%s is made at the first start", directory)
	case err != nil:
		return fail("install -d -o gifford-hub -g gifford-hub -m 0700 "+directory, "%v", err)
	case f.Owner != hubUser:
		return fail("chown -R gifford-hub:gifford-hub "+directory, "%s belongs to %s", directory, f.Owner)
	case f.Mode.Perm()&0o300 != 0o300:
		return fail("chmod 0700 "+directory, "%s cannot be written (mode %04o)", directory, f.Mode.Perm())
	case f.Mode.Perm()&0o077 != 0:
		return warn("chmod 0700 "+directory, "%s is open to others (mode %04o)", directory, f.Mode.Perm())
	}
	return ok("%s is the hub's", directory)
}

// auditDirectory is LogsDirectory= of the hub's unit.
const auditDirectory = "/var/log/gifford-hub"

// auditFile checks the directory of the audit file, which the hub's unit makes.
func auditFile(_ context.Context, r *run) []finding {
	f, err := r.Host.Stat(auditDirectory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ok("%s is made at the hub's next start", auditDirectory)
	case err != nil:
		return unknown("ls -ld "+auditDirectory, "%v", err)
	case f.Owner != hubUser || f.Mode.Perm()&0o300 != 0o300:
		return fail("chown -R gifford-hub:gifford-hub "+auditDirectory+"; chmod 0750 "+auditDirectory,
			"the hub cannot write in %s (owner %s, mode %04o)", auditDirectory, f.Owner, f.Mode.Perm())
	case f.Mode.Perm()&0o027 != 0:
		return warn("chmod 0750 "+auditDirectory, "%s is open to others (mode %04o)", auditDirectory, f.Mode.Perm())
	}
	return ok("who did what is in %s/audit.log", auditDirectory)
}
