package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Mount is one more directory or file of the host that a container sees.
type Mount struct {
	Source, Target string // {user} is the last part of the source, or any whole part of the target
	ReadOnly       bool
	User           bool     // the source is a directory of the member's own: its last part is {user}
	Create         bool     // the launcher makes a source with {user} that is missing
	UnixGroups     []string // one of them is needed to see it; none set: everyone does
}

// MountsFor returns the mounts of a person's servers with that profile, with the person's
// name in their paths: all that everyone gets first, then the profile's. The error is what
// InGroup returned, or a *Refusal where a mount would lie in or over the person's home.
func (p *Policy) MountsFor(who Person, q Profile) ([]Mount, error) {
	var all []Mount
	home := p.Host.HomeOf(who.User)
	for _, m := range slices.Concat(p.Mounts, q.Mounts) {
		in, err := anyGroup(who, m.UnixGroups)
		if err != nil {
			return nil, err
		}
		if !in {
			continue
		}
		m = m.of(who.User)
		if within(m.Target, home) || within(home, m.Target) {
			return nil, &Refusal{Reason: fmt.Sprintf("the policy's mount at %s would cover the home directory %s or "+
				"lie in it", m.Target, home), Hint: "another target in " + File}
		}
		all = append(all, m)
	}
	return all, nil
}

// anyGroup reports whether the person is in one of the groups, or there are none.
func anyGroup(who Person, groups []string) (bool, error) {
	for _, g := range groups {
		if in, err := who.InGroup(g); in || err != nil {
			return in, err
		}
	}
	return len(groups) == 0, nil
}

func (m Mount) of(u ident.User) Mount {
	m.Source, m.Target = strings.ReplaceAll(m.Source, userPart, u.String()),
		strings.ReplaceAll(m.Target, userPart, u.String())
	return m
}

// ofMembers reports whether the source is a directory of the member's own.
func (m Mount) ofMembers() bool { return path.Base(m.Source) == userPart }

// userPart is the placeholder for the member's name in a path.
const userPart = "{user}"

// within reports whether a path is a directory or lies below it.
func within(name, directory string) bool {
	return name == directory || strings.HasPrefix(name, directory+"/")
}

// systemsOwn are directories of the container that are the kernel's or the hub's: nothing is
// mounted at them or in them.
var systemsOwn = []string{"/proc", "/sys", "/dev", "/run/jupyter", "/run/secrets"} // read only

// podmansOwn are files that podman makes for each container, and the directories in which they
// and the system's own lie: nothing is mounted over them.
var podmansOwn = []string{"/etc", "/run", "/var/run", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow",
	"/etc/hosts", "/etc/hostname",
	// read only
	"/etc/resolv.conf", "/run/.containerenv", "/etc/subuid", "/etc/subgid", "/etc/sudoers", "/etc/sudoers.d"}

// freeTarget reports whether a mount may be put there whatever the policy's other directories are.
// /var/run is the other name of /run in most images.
func freeTarget(target string) bool {
	if below, ok := strings.CutPrefix(target, "/var/run/"); ok {
		target = "/run/" + below
	}
	return !slices.ContainsFunc(systemsOwn, func(s string) bool { return within(target, s) }) &&
		!slices.Contains(podmansOwn, target)
}

// wholeParts reports whether {user} occurs in a path as whole parts only.
func wholeParts(s string) bool {
	return !slices.ContainsFunc(strings.Split(s, "/"), func(part string) bool {
		return part != userPart &&
			strings.Contains(part, userPart)
	})
}

// covers reports whether a mount there would hide the shared directory, or all homes.
func (p *Policy) covers(target string) bool {
	return p.Host.Cluster != "" && within(p.Host.Cluster, target) || p.Host.Home != "" && within(p.Host.Home, target)
}
