// Package gpu reads the description of the host's devices: CDI specifications, and the file in which gifford-gpus
// writes the answers of the vendors' tools. It only reads files. It must never open a device, run a program or decide
// who gets which device.
package gpu

import "time"

// Device is a device that can be lent.
type Device struct {
	Name    string   // qualified CDI name, such as "nvidia.com/gpu=0": the shortest of those of the same hardware
	Kind    string   // "nvidia.com/gpu"
	Aliases []string // the other qualified names of the same hardware
	Nodes   []string // the device's own nodes on the host, sorted, without the vendor's control nodes
}

// Broken is a CDI specification that cannot be used, or a directory of them.
type Broken struct{ File, Reason string }

// Inventory is the content of a host's CDI specifications.
type Inventory struct {
	Devices []Device // sorted by kind, then by name in natural order
	Broken  []Broken // sorted by file
	Specs   []Spec   // those that can be used, sorted by directory and file
}

// State is what gifford-gpus measured. It is the content of its file.
type State struct {
	Measured time.Time `json:"measured"`
	Tools    []Tool    `json:"tools"`
	Devices  []Facts   `json:"devices"`
}

// Tool is a vendor's program.
type Tool struct {
	Name  string `json:"name"`            // "nvidia-smi"
	Error string `json:"error,omitempty"` // why it reported nothing, for people
}

// Facts is what the vendor's tool reports of one device.
type Facts struct {
	Node      string    `json:"node"`           // device node, by which a Device is found: "/dev/nvidia0"
	Part      string    `json:"part,omitempty"` // on a partitioned device: "0:1" is instance 1 of GPU 0
	UUID      string    `json:"uuid,omitempty"`
	Model     string    `json:"model"`
	Health    string    `json:"health,omitempty"` // the fault, for people; "" when none is known
	Memory    uint64    `json:"memory"`           // bytes
	Now       Load      `json:"now"`
	Hour      Load      `json:"hour"`    // the average over the last hour
	Busiest   Load      `json:"busiest"` // the highest of the last hour
	Processes []Process `json:"processes,omitempty"`
}

// Load is how much of a device is in use.
type Load struct {
	Known  bool    `json:"known"`
	Busy   float64 `json:"busy"`   // share of time in which it computed, 0 to 1
	Memory uint64  `json:"memory"` // bytes in use
}

// Process is a process that has a device open.
type Process struct {
	PID     uint32 `json:"pid"`
	UID     uint32 `json:"uid"`
	Command string `json:"command"`
	Unit    string `json:"unit,omitempty"` // the system unit whose control group it is in
	Memory  uint64 `json:"memory"`         // bytes on the device
}
