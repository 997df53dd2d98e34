package check

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
)

// cluster checks the shared directory.
func cluster(_ context.Context, r *run) []finding {
	if r.policy == nil {
		return unknown("sudoedit /etc/gifford-hub/launcher.toml", "needs a policy that can be used")
	}
	directory := r.policy.Host.Cluster
	if directory == "" {
		return ok("the policy has no shared directory")
	}
	f, err := r.Host.Stat(directory)
	switch {
	case err != nil:
		return fail("mount "+directory+", or set cluster in [host] of /etc/gifford-hub/launcher.toml", "%v", err)
	case !f.Mode.IsDir():
		return fail("mount "+directory, "%s is not a directory", directory)
	case f.Mode.Perm()&0o005 != 0o005:
		return warn("chmod o+rx "+directory, "%s is closed to some members (mode %04o)", directory, f.Mode.Perm())
	}
	return ok("%s exists", directory)
}

// member tests what a start for one person needs: an account, a range of ids, a home.
func member(ctx context.Context, r *run) []finding {
	if r.User.IsZero() {
		return unknown("gifford-hub check --user NAME", "no member was named")
	}
	if _, err := r.Host.Run(ctx, "getent", "passwd", r.User.String()); err != nil {
		return fail(fmt.Sprintf("getent passwd %s; then add the account, or fix the name service", r.User),
			"%s has no Unix account on this host", r.User)
	}
	found := ok("%s has a Unix account", r.User)
	found = append(found, r.memberGroups(ctx)...)
	found = append(found, r.subIDs(ctx)...)
	return append(found, r.home()...)
}

// memberGroups compares with the policy's groups.
func (r *run) memberGroups(ctx context.Context) []finding {
	if r.policy == nil || len(r.policy.Host.UnixGroups) == 0 {
		return nil
	}
	out, err := r.Host.Run(ctx, "id", "-nG", "--", r.User.String())
	if err != nil {
		return unknown("id "+r.User.String(), "cannot look up the groups of %s: %v", r.User, err)
	}
	for _, has := range strings.Fields(out) {
		for _, g := range r.policy.Host.UnixGroups {
			if has == g {
				return ok("%s is in the group %s", r.User, g)
			}
		}
	}
	g := r.policy.Host.UnixGroups[0]
	return fail(fmt.Sprintf("usermod -aG %s %s   (or in the directory that the account comes from)", g, r.User),
		"%s is in none of the groups that the policy lets run servers: %s", r.User,
		strings.Join(r.policy.Host.UnixGroups, ", "))
}

// subIDs checks that the two files have a range; the launcher adds one where there is none.
func (r *run) subIDs(context.Context) []finding {
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		b, err := r.Host.ReadFile(file)
		if err != nil {
			return fail("touch /etc/subuid /etc/subgid", "%v", err)
		}
		if !strings.Contains("\n"+string(b), "\n"+r.User.String()+":") {
			return ok("%s has no range in %s: the launcher adds one at the first start", r.User, file)
		}
	}
	return ok("%s has subordinate ids", r.User)
}

// home checks the home that the policy names.
func (r *run) home() []finding {
	if r.policy == nil {
		return nil
	}
	home := r.policy.Host.HomeOf(r.User)
	f, err := r.Host.Stat(home)
	switch {
	case err != nil && r.policy.Host.CreateHome:
		return ok("%s is made at the first start", home)
	case err != nil:
		return fail(fmt.Sprintf("install -d -m 0700 -o %s -g \"$(id -gn %s)\" %s", r.User, r.User, home), "%v", err)
	case f.Mode&fs.ModeDir == 0:
		return fail("ls -ld "+home, "%s is not a directory", home)
	case f.Owner != r.User.String():
		return fail(fmt.Sprintf("chown %s %s", r.User, home), "%s belongs to %s, not to %s", home, f.Owner, r.User)
	}
	return ok("%s belongs to %s", home, r.User)
}
