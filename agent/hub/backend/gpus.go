package backend

import (
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Sharing says how many servers may hold a device at a time.
type Sharing string

// The ways in which a device is lent.
const (
	Exclusive Sharing = "exclusive" // to one
	Shared    Sharing = "shared"    // to Device.Places
	Open      Sharing = "open"      // to all
)

// GPUs is what devices there are.
type GPUs struct {
	Devices   []Device // by name
	Broken    []BrokenSpec
	Measured  time.Time // when Device.Now was measured; zero where no vendor's tool reports it
	ToolError string    // why the vendor's tool reports nothing, for people; "" when it does or there is none
}

// Device is a GPU that servers can hold.
type Device struct {
	Name     string // qualified CDI name, such as "nvidia.com/gpu=0"
	Model    string // the vendor's name of it; "" where that is not known
	Memory   uint64 // bytes; 0 where that is not known
	Health   string // what is wrong with it, for people; "" when nothing is known to be
	Sharing  Sharing
	Places   uint32 // how many servers may hold it; 0 for any number
	Holders  []Holder
	Now      Load
	Hour     Load     // the average over the last hour
	Busiest  Load     // the highest of the last hour
	Profiles []string // names of the profiles that can get it
	// Strangers are processes on it that belong to no server that holds it, such as those that an ended server left.
	Strangers []Process
}

// Free reports whether one more server may hold the device: nothing is wrong with it and a place is left.
func (d Device) Free() bool {
	return d.Health == "" && (d.Places == 0 || uint32(len(d.Holders)) < d.Places)
}

// Holder is a server that holds a device.
type Holder struct {
	Key       ident.Key
	Profile   string
	Since     time.Time
	Processes uint32 // how many of its processes have the device open, as far as the vendor's tool reports them
}

// Load is how much of a device is in use.
type Load struct {
	Known  bool
	Busy   float64 // share of time in which it computed, 0 to 1
	Memory uint64  // bytes in use
}

// Process is a process that has a device open.
type Process struct {
	PID     uint32
	UID     uint32
	Command string
	Unit    string // what it runs in, as its host calls that; "" where that is not known
	Memory  uint64 // bytes on the device; 0 where that is not known
}

// BrokenSpec is a description of devices that cannot be used, or a directory of them.
type BrokenSpec struct{ File, Error string }

// Held returns the devices that a server holds, by name.
func (g GPUs) Held(key ident.Key) []string {
	var names []string
	for _, d := range g.Devices {
		if slices.ContainsFunc(d.Holders, func(h Holder) bool { return h.Key == key }) {
			names = append(names, d.Name)
		}
	}
	return names
}
