package gpu

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	specs "tags.cncf.io/container-device-interface/specs-go"
)

// Spec is the file of a usable CDI specification.
type Spec struct {
	File    string
	Kind    string
	Version string   // of the format; Podman must support it
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

// node is a device node of a specification: its path on the host and its path in the container.
type node struct{ host, inside string }

// newNode cleans the paths: "/dev//nvidia0" is the same hardware as "/dev/nvidia0" and would be lent a second time. It
// follows no links, since the launcher cannot see the devices.
func newNode(n *specs.DeviceNode) node {
	return node{filepath.Clean(cmp.Or(n.HostPath, n.Path)), filepath.Clean(n.Path)}
}

// allNodes returns the device nodes of a specification: the nodes common to all devices, and those of each device.
func allNodes(s *cdi.Spec) (common []node, devices [][]node) {
	for _, n := range s.ContainerEdits.DeviceNodes {
		if n != nil {
			common = append(common, newNode(n))
		}
	}
	for i := range s.Devices {
		devices = append(devices, nil)
		for _, n := range s.Devices[i].ContainerEdits.DeviceNodes {
			if n != nil {
				devices[i] = append(devices[i], newNode(n))
			}
		}
	}
	return common, devices
}

const (
	// maxDevices exceeds what a host has: 16 GPUs of 7 instances with two names each are 240. The launcher compares
	// each with every other at every request.
	maxDevices = 1000
	// maxName is longer than a UUID with its kind. Names are arguments of Podman and part of a unit's environment.
	maxName = 200
)

// excessive returns why a valid specification is too large for the launcher.
func excessive(s *cdi.Spec) error {
	if len(s.Devices) > maxDevices {
		return fmt.Errorf("it describes %d devices, more than %d", len(s.Devices), maxDevices)
	}
	for i := range s.Devices {
		if name := s.Kind + "=" + s.Devices[i].Name; len(name) > maxName {
			return fmt.Errorf("the name %s… has more than %d characters", name[:40], maxName)
		}
	}
	return nil
}

// unsafe returns why a valid specification would put devices into a container that were not lent to it. Rootless Podman
// mounts the host's node at the path inside the container and ignores the path on the host that the specification names
// (seen with 4.3 and 5.4, docs/gpus.md).
func unsafe(s *cdi.Spec) error {
	common, devices := allNodes(s)
	for _, n := range slices.Concat(append(devices, common)...) {
		if n.host != n.inside {
			return fmt.Errorf("it maps %s of the host to %s: rootless Podman would take the host's %s instead", n.host,
				n.inside, n.inside)
		}
	}
	for i, nodes := range devices {
		for _, n := range nodes {
			if len(devices) > 1 && slices.Contains(common, n) && !controls(n.host) {
				return fmt.Errorf("it adds %s, the node of its device %q, to all of its devices", n.host,
					s.Devices[i].Name)
			}
		}
	}
	return nil
}
