package check

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// Permissions that a device node must give: a program opens it for both.
const (
	openToAll   = 0o006
	openToGroup = 0o060
)

// nodes looks at the device nodes that the container of a server gets with a device.
// Rootless Podman mounts the host's, so their owner, group and mode count.
func (r *run) nodes(ctx context.Context, d gpu.Device) []finding {
	var found []finding
	for _, node := range d.Nodes {
		f, err := r.Host.Stat(node)
		switch {
		case err != nil:
			found = append(found, fail(generate(d.Kind), "%s has the device node %s, which is not there: servers with it do not start", d.Name, node)...)
		case f.Mode&fs.ModeDevice == 0:
			found = append(found, fail(generate(d.Kind), "%s has the device node %s, which is none", d.Name, node)...)
		default:
			found = append(found, r.opens(ctx, d, node, f)...)
		}
	}
	return found
}

// opens tells whether members can open a node.
func (r *run) opens(ctx context.Context, d gpu.Device, node string, f File) []finding {
	switch mode := f.Mode.Perm(); {
	case mode&openToAll == openToAll:
		return nil
	case mode&openToGroup != openToGroup || f.Group == "root":
		return fail(openUp(node), "%s of %s is closed to members (mode %04o, %s:%s)", node, d.Name, mode, f.Owner, f.Group)
	case r.User.IsZero():
		return warn(fmt.Sprintf("usermod -aG %s NAME for each member, or for all of them: %s", f.Group, openUp(node)),
			"%s of %s can be opened by members of the group %s only (mode %04o); gifford-hub check --user NAME tests one", node, d.Name, f.Group, mode)
	}
	groups, err := r.Host.Run(ctx, "id", "-nG", "--", r.User.String())
	if err != nil {
		return unknown("id "+r.User.String(), "the groups of %s cannot be looked up: %v", r.User, err)
	}
	if slices.Contains(strings.Fields(groups), f.Group) {
		return nil
	}
	return fail(fmt.Sprintf("usermod -aG %s %s, or for all members: %s", f.Group, r.User, openUp(node)),
		"%s cannot open %s of %s, which is for the group %s (mode %04o)", r.User, node, d.Name, f.Group, f.Mode.Perm())
}

// openUp is the command that opens a node to all, also after the next boot.
func openUp(node string) string {
	if strings.HasPrefix(path.Base(node), "nvidia") { // its driver makes the nodes itself
		return "echo 'options nvidia NVreg_DeviceFileMode=0666' >/etc/modprobe.d/gifford-nvidia.conf && chmod 0666 " + node
	}
	return fmt.Sprintf(`echo 'KERNEL=="%s", MODE="0666"' >>/etc/udev/rules.d/99-gifford-gpus.rules && udevadm control --reload && udevadm trigger --name-match=%s`,
		path.Base(node), node)
}
