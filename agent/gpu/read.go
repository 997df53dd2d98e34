package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// DefaultDirs are the directories of CDI specifications. A later directory replaces devices of an earlier one
// (Container Device Interface Specification, "File Location").
func DefaultDirs() []string { return []string{"/etc/cdi", "/var/run/cdi"} }

// maxSpec is more than any vendor's generator writes: some 100 KB for 16 GPUs.
const maxSpec = 4 << 20

// Read reads the specifications in the directories. It skips a missing directory. It lists a specification that it
// cannot use in Broken and uses the others. It does not touch the devices.
func Read(dirs ...string) Inventory {
	var inv Inventory
	found := map[string]entry{}
	for priority, dir := range dirs {
		specs, bad := readDirectory(dir, priority, found)
		inv.Specs, inv.Broken = append(inv.Specs, specs...), append(inv.Broken, bad...)
	}
	var all []Device
	for name, e := range found {
		if e.device != nil {
			all = append(all, newDevice(name, e.device))
		}
	}
	slices.SortFunc(inv.Broken, func(a, b Broken) int {
		return cmp.Or(strings.Compare(a.File, b.File), strings.Compare(a.Reason, b.Reason))
	})
	inv.Devices = leasable(all)
	return inv
}

// entry is a named device. It is nil when two files of the same directory describe it.
type entry struct {
	device   *cdi.Device
	file     string
	priority int
}

// readDirectory adds the devices of a directory. They replace those of earlier directories.
func readDirectory(dir string, priority int, found map[string]entry) (good []Spec, bad []Broken) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, []Broken{newBroken(dir, "cannot be read: "+err.Error())}
	}
	for _, f := range files {
		file := filepath.Join(dir, f.Name())
		if ext := filepath.Ext(file); f.IsDir() || ext != ".json" && ext != ".yaml" {
			continue
		}
		spec, err := readSpec(file, priority)
		if err != nil {
			bad = append(bad, newBroken(file, err.Error()))
			continue
		}
		good = append(good, newSpec(spec, file))
		bad = append(bad, enter(spec, file, priority, found)...)
	}
	return good, bad
}

// enter adds the devices of one specification.
func enter(spec *cdi.Spec, file string, priority int, found map[string]entry) (bad []Broken) {
	for i := range spec.Devices {
		d := spec.GetDevice(spec.Devices[i].Name)
		if d == nil {
			continue
		}
		name := d.GetQualifiedName()
		if other, ok := found[name]; ok && other.priority == priority && other.file != file {
			bad = append(bad, newBroken(file, fmt.Sprintf("it describes %s, and so does %s: both are ignored", name,
				other.file)))
			d = nil
		}
		found[name] = entry{d, file, priority}
	}
	return bad
}

// readSpec reads one specification. The library panics at some that it should refuse, such as a class of one letter
// (v1.0.1).
func readSpec(file string, priority int) (spec *cdi.Spec, err error) {
	defer func() {
		if recover() != nil {
			spec, err = nil, errors.New("it is not a valid specification: a vendor or class of one letter, or another "+
				"mistake that the library does not report")
		}
	}()
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSpec {
		return nil, fmt.Errorf("it is not a file of up to %d bytes", maxSpec)
	}
	spec, err = cdi.ReadSpec(file, priority)
	if err == nil && spec == nil {
		err = errors.New("it no longer exists")
	}
	if err == nil {
		err = excessive(spec)
	}
	if err == nil {
		err = unsafe(spec)
	}
	return spec, err
}

// newBroken makes both texts fit for a line of a page and for D-Bus, which only accepts UTF-8. Otherwise one file with
// an odd name would hide the others. An error may quote the whole file.
func newBroken(file, reason string) Broken {
	return Broken{printable.Line(file, maxReason), printable.Line(reason, maxReason)}
}

const maxReason = 1000 // characters

func newDevice(name string, d *cdi.Device) Device {
	kind, _, _ := strings.Cut(name, "=")
	nodes := map[string]bool{}
	for _, n := range d.ContainerEdits.DeviceNodes {
		if n == nil {
			continue
		}
		if path := newNode(n).host; !controls(path) {
			nodes[path] = true
		}
	}
	return Device{Name: name, Kind: kind, Nodes: slices.Sorted(maps.Keys(nodes))}
}

// controls reports whether a node belongs to the vendor's driver as a whole, so that all its devices may name it.
func controls(node string) bool {
	switch node {
	case "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/kfd", "/dev/dxg":
		return true
	}
	return false
}

// leasable leaves out groups, such as "all", and joins the names of the same hardware.
func leasable(all []Device) []Device {
	slices.SortFunc(all, func(a, b Device) int { return preferred(a.Name, b.Name) })
	var list []Device
	for _, d := range all {
		if slices.ContainsFunc(all, func(e Device) bool { return groups(d, e) }) {
			continue
		}
		same := slices.IndexFunc(list, func(e Device) bool {
			return len(d.Nodes) > 0 &&
				slices.Equal(d.Nodes, e.Nodes)
		})
		if same >= 0 {
			list[same].Aliases = append(list[same].Aliases, d.Name)
			continue
		}
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Device) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind),
			naturally(a.Name, b.Name))
	})
	return list
}

// preferred orders the names of one device. The shortest comes first, since people type it. "all" comes last, since it
// does not name a single device.
func preferred(a, b string) int {
	all := func(name string) int {
		if strings.HasSuffix(name, "=all") {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(all(a), all(b)), cmp.Compare(len(a), len(b)), naturally(a, b))
}

// groups reports whether d consists of e and other devices.
func groups(d, e Device) bool {
	if len(e.Nodes) == 0 || len(d.Nodes) <= len(e.Nodes) || !includes(d.Nodes, e.Nodes) {
		return false
	}
	_, whole := parts(d)
	return !slices.Equal(whole, e.Nodes) // else d is an instance of the GPU e
}

func includes(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// capabilities is the directory of the nodes of a partitioned GPU's instances (NVIDIA Multi-Instance GPU User Guide,
// "Device Nodes and Capabilities").
const capabilities = "/dev/nvidia-caps/"

// parts separates the nodes of an instance from those of its GPU.
func parts(d Device) (own, whole []string) {
	for _, n := range d.Nodes {
		if strings.HasPrefix(n, capabilities) {
			own = append(own, n)
		} else {
			whole = append(whole, n)
		}
	}
	return own, whole
}

// Overlaps reports whether two devices share hardware, so that they cannot both be lent. Instances of a GPU share its
// node and nothing else.
func (d Device) Overlaps(e Device) bool {
	if d.Name == e.Name {
		return true
	}
	ours, theirs := d.Nodes, e.Nodes
	if a, _ := parts(d); len(a) > 0 {
		if b, _ := parts(e); len(b) > 0 {
			ours, theirs = a, b
		}
	}
	return slices.ContainsFunc(ours, func(n string) bool { return slices.Contains(theirs, n) })
}

// naturally orders names with numbers as people do: 2 before 10.
func naturally(a, b string) int {
	for a != "" && b != "" {
		restA, restB := strings.TrimLeft(a, digits), strings.TrimLeft(b, digits)
		numA, numB := strings.TrimLeft(a[:len(a)-len(restA)], "0"), strings.TrimLeft(b[:len(b)-len(restB)], "0")
		if c := cmp.Or(cmp.Compare(len(numA), len(numB)), strings.Compare(numA, numB)); c != 0 {
			return c
		}
		if a, b = restA, restB; a == "" || b == "" || a[0] != b[0] {
			break
		}
		a, b = a[1:], b[1:]
	}
	return strings.Compare(a, b)
}

const digits = "0123456789"
