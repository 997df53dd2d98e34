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

// nodes checks the device nodes that the container of a server gets. Rootless Podman
// mounts the host's, so their owner, group and mode count.
func (r *run) nodes(ctx context.Context, s gpu.Spec) []finding {
	var found []finding
	for _, node := range s.Nodes {
		f, err := r.Host.Stat(node)
		switch {
		case err != nil:
			found = append(found, fail(generate(s.Kind), "%s names the device node %s, which does not exist: servers "+
				"with that device do not start", s.File, node)...)
		case f.Mode&fs.ModeDevice == 0:
			found = append(found, fail(generate(s.Kind), "%s names %s as a device node, but it is not one", s.File,
				node)...)
		case mustOpen(s, node):
			found = append(found, r.opens(ctx, s, node, f)...)
		}
	}
	return found
}

// mustOpen leaves out nodes that programs need not open: those for screens that NVIDIA's
// specifications name beside the GPU, and capabilities, which are only read.
func mustOpen(s gpu.Spec, node string) bool {
	nvidia := strings.HasPrefix(s.Kind, "nvidia.com/")
	return !nvidia || !strings.HasPrefix(node, "/dev/dri/") && !strings.HasPrefix(node, "/dev/nvidia-caps/") &&
		node != "/dev/nvidia-modeset"
}

// opens reports whether members can open a node.
func (r *run) opens(ctx context.Context, s gpu.Spec, node string, f File) []finding {
	switch mode := f.Mode.Perm(); {
	case mode&openToAll == openToAll:
		return nil
	case mode&openToGroup != openToGroup || f.Group == "root":
		return fail(openUp(node), "%s of %s is closed to members (mode %04o, %s:%s)", node, s.Kind, mode, f.Owner,
			f.Group)
	case r.User.IsZero():
		return warn(fmt.Sprintf("usermod -aG %s NAME for each member, or for all of them: %s", f.Group, openUp(node)),
			"%s of %s can be opened by members of the group %s only (mode %04o); gifford-hub check --user NAME "+
				"tests one", node, s.Kind, f.Group, mode)
	}
	groups, err := r.Host.Run(ctx, "id", "-nG", "--", r.User.String())
	if err != nil {
		return unknown("id "+r.User.String(), "cannot look up the groups of %s: %v", r.User, err)
	}
	if slices.Contains(strings.Fields(groups), f.Group) {
		return nil
	}
	return fail(fmt.Sprintf("usermod -aG %s %s, or for all members: %s", f.Group, r.User, openUp(node)),
		"%s cannot open %s of %s, which is for the group %s (mode %04o)", r.User, node, s.Kind, f.Group, f.Mode.Perm())
}

// openUp is the command that opens a node to all, also after the next boot.
func openUp(node string) string {
	if strings.HasPrefix(path.Base(node), "nvidia") { // its driver makes the nodes itself
		return "echo 'options nvidia NVreg_DeviceFileMode=0666' >/etc/modprobe.d/gifford-nvidia.conf && chmod 0666 " +
			node
	}
	return fmt.Sprintf(`echo 'KERNEL=="%s", MODE="0666"' >>/etc/udev/rules.d/99-gifford-gpus.rules && `+
		`udevadm control --reload && udevadm trigger --name-match=%s`,
		path.Base(node), node)
}
