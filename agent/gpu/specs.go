package gpu

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"tags.cncf.io/container-device-interface/pkg/cdi"
)

// Spec is a CDI specification that can be used, as a file.
type Spec struct {
	File    string
	Kind    string
	Version string   // of the format, which Podman must know
	Nodes   []string // all device nodes that containers with its devices get, sorted
}

func newSpec(s *cdi.Spec, file string) Spec {
	nodes := map[string]bool{}
	common, devices := allNodes(s)
	for _, n := range slices.Concat(append(devices, common)...) {
		nodes[n.inside] = true
	}
	return Spec{file, s.Kind, s.Version, slices.Sorted(maps.Keys(nodes))}
}

// node is a device node of a specification: where it is on the host, and inside.
type node struct{ host, inside string }

// allNodes gives the device nodes of a specification: those of all devices, and each
// device's.
func allNodes(s *cdi.Spec) (common []node, devices [][]node) {
	for _, n := range s.ContainerEdits.DeviceNodes {
		if n != nil {
			common = append(common, node{cmp.Or(n.HostPath, n.Path), n.Path})
		}
	}
	for i := range s.Devices {
		devices = append(devices, nil)
		for _, n := range s.Devices[i].ContainerEdits.DeviceNodes {
			if n != nil {
				devices[i] = append(devices[i], node{cmp.Or(n.HostPath, n.Path), n.Path})
			}
		}
	}
	return common, devices
}

// unsafe says why a valid specification would give a container other devices than those
// that it was lent. Rootless Podman mounts the host's node of the path that is wanted
// inside, whatever the specification says of where it is on the host (seen with 4.3 and
// 5.4, docs/gpus.md).
func unsafe(s *cdi.Spec) error {
	common, devices := allNodes(s)
	for _, n := range slices.Concat(append(devices, common)...) {
		if n.host != n.inside {
			return fmt.Errorf("it gives %s of the host as %s: rootless Podman would give the host's %s instead", n.host, n.inside, n.inside)
		}
	}
	for i, nodes := range devices {
		for _, n := range nodes {
			if len(devices) > 1 && slices.Contains(common, n) && !controls(n.host) {
				return fmt.Errorf("it gives %s, the node of its device %q, to all of its devices", n.host, s.Devices[i].Name)
			}
		}
	}
	return nil
}
