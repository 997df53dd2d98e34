package check

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// rig is a host with two GPUs of NVIDIA and one of AMD, and a profile for each kind.
type rig struct {
	*fake
	config Config
	inv    gpu.Inventory
	state  gpu.State
	bus    bus
	policy *policy.Policy
}

const groupsOfAlice = "id -nG -- alice"

func goodRig(t *testing.T) *rig {
	open, shut := File{Mode: 0o666 | fs.ModeDevice, Owner: "root", Group: "root"},
		File{Mode: 0o660 | fs.ModeDevice, Owner: "root", Group: "render"}
	r := &rig{fake: goodHost(t), state: gpu.State{Measured: time.Now(), Tools: []gpu.Tool{{Name: "nvidia-smi"}},
		Devices: []gpu.Facts{{Node: "/dev/nvidia0", Model: "H100"}}}}
	r.config = goodConfig(t, r.fake)
	r.stats["/dev/nvidia0"], r.stats["/dev/nvidia1"], r.stats["/dev/dri/renderD128"], r.stats["/dev/kfd"] = open, open,
		shut, open
	r.commands[groupsOfAlice] = "alice cgs render"
	r.inv.Devices = []gpu.Device{
		{Name: "amd.com/gpu=0", Kind: "amd.com/gpu", Nodes: []string{"/dev/dri/renderD128"}},
		{Name: "nvidia.com/gpu=0", Kind: "nvidia.com/gpu", Nodes: []string{"/dev/nvidia0"}},
		{Name: "nvidia.com/gpu=1", Kind: "nvidia.com/gpu", Nodes: []string{"/dev/nvidia1"}},
	}
	r.inv.Specs = []gpu.Spec{
		{File: "/etc/cdi/amd.json", Kind: "amd.com/gpu", Version: "0.5.0",
			Nodes: []string{"/dev/dri/renderD128", "/dev/kfd"}},
		{File: "/etc/cdi/nvidia.yaml", Kind: "nvidia.com/gpu", Version: "0.8.0",
			Nodes: []string{"/dev/dri/card1", "/dev/nvidia0", "/dev/nvidia1"}},
	}
	// not needed for computing
	r.stats["/dev/dri/card1"] = File{Mode: 0o660 | fs.ModeDevice, Owner: "root", Group: "video"}
	r.bus.profiles = []launcherbus.Profile{{Name: "plain"}, {Name: "two", GPUs: 2},
		{Name: "every", GPUs: launcherbus.AllGPUs}}
	for _, d := range r.inv.Devices {
		r.bus.gpus.Devices = append(r.bus.gpus.Devices, launcherbus.GPU{Name: d.Name, Profiles: []string{"two"}})
	}
	r.config.Launcher = &r.bus
	r.policy, _ = r.config.LoadPolicy()
	r.policy.GPUs = policy.GPUs{Devices: []policy.GPURule{{Match: []string{"nvidia.com/gpu=0"},
		UnixGroups: []string{"cgs"}}}, Groups: []policy.GPUGroup{{Name: "students", Max: 1}}}
	r.commands["getent group students"] = "students:x:2:"
	r.config.LoadPolicy = func() (*policy.Policy, error) { return r.policy, nil }
	r.config.GPUs = func() gpu.Inventory { return r.inv }
	r.config.GPUState = func() (gpu.State, error) { return r.state, nil }
	return r
}

func (r *rig) bare() {
	r.inv, r.bus.gpus = gpu.Inventory{}, launcherbus.GPUs{}
	r.bus.profiles = []launcherbus.Profile{{Name: "plain"}}
	r.stats = without(r.stats, "/dev/nvidia0", "/dev/nvidia1", "/dev/kfd", "/dev/dri/renderD128")
}

// TestGPUs spoils one thing at a time of a host with GPUs; want is what the check then
// finds, level, part of what and part of the fix, and nothing where it is empty.
func TestGPUs(t *testing.T) {
	tests := map[string]struct {
		spoil func(r *rig)
		level Level
		what  string
		fix   string
	}{
		"good":          {func(*rig) {}, OK, "3 devices", ""},
		"none":          {func(r *rig) { r.bare() }, "", "", ""},
		"none, for all": {func(r *rig) { r.bare(); r.bus.profiles[0].GPUs = launcherbus.AllGPUs }, "", "", ""},
		"none, SELinux": {func(r *rig) { r.bare(); r.files["/sys/fs/selinux/enforce"] = "1" }, "", "", ""},
		"none, wanted": {func(r *rig) { r.bare(); r.bus.profiles[0].GPUs = 1 }, Fail,
			`profile "plain" wants 1 device of this host, which has 0`, "launcher.toml"},
		"no spec": {func(r *rig) { r.bare(); r.stats["/dev/nvidia0"] = File{} }, Warn,
			"/dev/nvidia0 is there, but in no CDI", "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"},
		"no spec of AMD": {func(r *rig) { r.bare(); r.stats["/dev/kfd"] = File{} }, Warn, "/dev/kfd is there",
			"amd-ctk cdi generate"},
		"one vendor's": {func(r *rig) { r.inv.Specs = r.inv.Specs[1:] }, Warn, "/dev/kfd is there, but in no CDI",
			"amd-ctk cdi generate"},
		"broken spec": {func(r *rig) { r.inv.Broken = []gpu.Broken{{File: "/etc/cdi/x.yaml", Reason: "no kind"}} },
			Fail, "/etc/cdi/x.yaml cannot be used: no kind", "remove"},
		"only a broken spec": {func(r *rig) {
			r.bare()
			r.inv.Broken = []gpu.Broken{{File: "/etc/cdi/x.yaml",
				Reason: "no kind"}}
		},
			Fail, "/etc/cdi/x.yaml cannot be used", "remove"},
		"wants too many": {func(r *rig) { r.bus.profiles[1].GPUs = 4 }, Fail,
			`profile "two" wants 4 devices of this host, which has 3`, "gifford-hub gpus"},
		"node missing": {func(r *rig) { delete(r.stats, "/dev/nvidia1") }, Fail,
			"/etc/cdi/nvidia.yaml names the device node /dev/nvidia1, which does not exist", "nvidia-ctk cdi generate"},
		"other node": {func(r *rig) {
			r.inv.Specs[0].Kind = "lab.example/x"
			delete(r.stats,
				"/dev/dri/renderD128")
		}, Fail, "does not exist", "load the driver of lab.example/x"},
		"no node": {func(r *rig) { r.stats["/dev/nvidia1"] = File{Mode: 0o666} }, Fail,
			"names /dev/nvidia1 as a device node, but it is not one", "nvidia-ctk"},
		"closed node": {func(r *rig) {
			r.stats["/dev/nvidia1"] = File{Mode: 0o600 | fs.ModeDevice, Owner: "root", Group: "root"}
		},
			Fail, "/dev/nvidia1 of nvidia.com/gpu is closed to members (mode 0600, root:root)",
			"NVreg_DeviceFileMode=0666"},
		"readable node": {func(r *rig) {
			r.stats["/dev/nvidia1"] = File{Mode: 0o664 | fs.ModeDevice, Owner: "root", Group: "root"}
		},
			Fail, "closed to members (mode 0664", "chmod 0666 /dev/nvidia1"},
		"not in its group": {func(r *rig) { r.commands[groupsOfAlice] = "alice cgs" }, Fail,
			"alice cannot open /dev/dri/renderD128", "usermod -aG render alice"},
		"group unknown": {func(r *rig) { delete(r.commands, groupsOfAlice) }, Unknown, "groups of alice",
			"id alice"},
		"for a group": {func(r *rig) { r.config.User = ident.User{} }, Warn, "members of the group render only",
			`KERNEL=="renderD128", MODE="0666"`},
		"new format": {func(r *rig) { r.inv.Specs[1].Version = "1.0.0" }, Fail,
			"has the format 1.0.0, but Podman 5.4 supports only those up to 0.8.0",
			`cdiVersion "0.8.0" in /etc/cdi/nvidia.yaml`},
		"old Podman": {func(r *rig) { r.commands["podman --version"] = "podman version 4.3.1" }, Fail,
			"has the format 0.8.0, but Podman 4.3 supports only those up to 0.5.0", `"0.5.0"`},
		"other Podman": {func(r *rig) {
			r.commands["podman --version"] = "podman version 6.0.0"
			r.inv.Specs[1].Version = "1.0.0"
		}, OK, "3 devices", ""},
		"unknown device": {func(r *rig) {
			r.policy.GPUs.Devices[0].Match = []string{"nvidia.com/gpu=*",
				"intel.com/gpu=*"}
		}, Warn, `"intel.com/gpu=*"`, "gifford-hub gpus"},
		"unknown group": {func(r *rig) { delete(r.commands, "getent group students") }, Warn,
			`Unix group "students" of [gpus] is unknown`, "getent group students"},
		"daemon's file": {func(r *rig) {
			r.config.GPUState = func() (gpu.State, error) { return gpu.State{}, errors.New("bad file") }
		}, Warn, "bad file", "gifford-gpus"},
		"no daemon": {func(r *rig) { r.state = gpu.State{} }, Warn, "gifford-gpus does not run",
			"systemctl restart gifford-gpus"},
		"daemon stuck": {func(r *rig) { r.state.Measured = time.Now().Add(-2 * time.Minute) }, Warn,
			"measured nothing since", "systemctl restart gifford-gpus"},
		"tool broken": {func(r *rig) { r.state.Tools[0].Error = "driver mismatch" }, Warn,
			"nvidia-smi reports nothing: driver mismatch", "nvidia-smi"},
		"ill": {func(r *rig) { r.state.Devices[0].Health = "fell off the bus" }, Warn,
			"/dev/nvidia0 is not lent to anybody: fell off the bus", "journalctl -k"},
		"stranger": {func(r *rig) {
			r.bus.gpus.Devices[1].Strangers = []gpu.Process{{PID: 77, UID: 5001, Command: "python"}}
		}, Warn, "process 77 (python, user 5001) is on nvidia.com/gpu=0", "kill 77"},
		"launcher cannot tell": {func(r *rig) { r.bus.gpusErr = errors.New("no method\nhint: x") }, Unknown,
			"no method", "journalctl"},
		"SELinux": {func(r *rig) { r.files["/sys/fs/selinux/enforce"] = "1" }, OK,
			"container_use_devices does not matter", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := goodRig(t)
			tt.spoil(r)
			var found []Result
			for _, f := range Run(t.Context(), r.config) {
				if f.Check == "gpus" {
					found = append(found, f)
				}
			}
			seen := 0
			for _, f := range found {
				if f.Level == tt.level && strings.Contains(f.What, tt.what) && strings.Contains(f.Remedy, tt.fix) {
					seen++
				} else if f.Level != OK || strings.Contains(f.What, "\n") {
					t.Errorf("also found %+v", f)
				}
			}
			if tt.level == "" && len(found) > 0 || tt.level != "" && seen != 1 {
				t.Errorf("found %+v, want %s: %q with fix %q", found, tt.level, tt.what, tt.fix)
			}
		})
	}
}
