package launcherbus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// AllGPUs is Profile.GPUs of a profile that gets every device that is open to all, and
// none where there is none.
const AllGPUs = -1

// Sharing says how many servers may hold a device at a time.
type Sharing string

// The ways in which a device is lent.
const (
	Exclusive Sharing = "exclusive" // to one
	Shared    Sharing = "shared"    // to GPU.Places
	Open      Sharing = "open"      // to all
)

// GPU is a device of a CDI specification that servers can hold.
type GPU struct {
	Name     string // qualified CDI name, such as "nvidia.com/gpu=0"
	Model    string // the vendor's name of it; "" where the vendor's tool did not tell
	Memory   uint64 // bytes; 0 where that is not known
	Health   string // what is wrong with it, for people; "" when nothing is known to be
	Sharing  Sharing
	Places   uint32 // how many servers may hold it; 0 for any number
	Holders  []Holder
	Now      Load
	Hour     Load     // the average over the last hour
	Busiest  Load     // the highest of the last hour
	Profiles []string // names of the profiles that can get it
	// Strangers are processes on it of which no server that holds it knows, such as those
	// that an ended server left.
	Strangers []GPUProcess
}

// Free reports whether one more server may hold the device: nothing is wrong with it and a
// place is left.
func (g GPU) Free() bool {
	return g.Health == "" && (g.Places == 0 || uint32(len(g.Holders)) < g.Places)
}

// Holder is a server that holds a device.
type Holder struct {
	Key     ident.Key
	Profile string
	Since   time.Time
	// Processes is how many processes of its unit have the device open, as far as the
	// vendor's tool tells.
	Processes uint32
}

// Load is how much of a device is in use.
type Load struct {
	Known  bool
	Busy   float64 // share of time in which it computed, 0 to 1
	Memory uint64  // bytes in use
}

// GPUProcess is a process that has a device open.
type GPUProcess struct {
	PID     uint32
	UID     uint32
	Command string
	Unit    string // the systemd unit whose control group it is in; "" where that is not known
	Memory  uint64 // bytes on the device; 0 where that is not known
}

// GPUs is what the host has.
type GPUs struct {
	Devices   []GPU // by name
	Broken    []BrokenSpec
	Measured  time.Time // when Now was measured; zero where no vendor's tool tells
	ToolError string    // why the vendor's tool tells nothing, for people; "" when it does or there is none
}

// BrokenSpec is a CDI specification that cannot be used, or a directory of them.
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

// GPUsRow is a GPUs on the bus, D-Bus type (a(ssstsua(ssstu)(bdt)(bdt)(bdt)asa(uusst))a(ss)ts).
type GPUsRow struct {
	Devices   []GPURow
	Broken    []BrokenSpec
	Measured  uint64 // microseconds since 1970; 0 is never
	ToolError string
}

// GPURow is a GPU on the bus.
type GPURow struct {
	Name, Model        string
	Health             string
	Memory             uint64
	Sharing            string
	Places             uint32
	Holders            []HolderRow
	Now, Hour, Busiest Load
	Profiles           []string
	Strangers          []GPUProcess
}

// HolderRow is a Holder on the bus.
type HolderRow struct {
	User, Server, Profile string
	Since                 uint64 // microseconds since 1970
	Processes             uint32
}

// Row returns the form in which g crosses the bus.
func (g GPUs) Row() GPUsRow {
	r := GPUsRow{Devices: []GPURow{}, Broken: g.Broken, Measured: micros(g.Measured), ToolError: g.ToolError}
	for _, d := range g.Devices {
		row := GPURow{d.Name, d.Model, d.Health, d.Memory, string(d.Sharing), d.Places, []HolderRow{}, d.Now, d.Hour,
			d.Busiest, d.Profiles, d.Strangers}
		for _, h := range d.Holders {
			row.Holders = append(row.Holders, HolderRow{h.Key.User.String(), h.Key.Server.String(), h.Profile,
				micros(h.Since), h.Processes})
		}
		r.Devices = append(r.Devices, row)
	}
	return r
}

func (r GPUsRow) gpus() (GPUs, error) {
	g := GPUs{Broken: r.Broken, Measured: timeOf(r.Measured), ToolError: r.ToolError}
	for _, row := range r.Devices {
		d := GPU{Name: row.Name, Model: row.Model, Health: row.Health, Memory: row.Memory,
			Sharing: Sharing(row.Sharing), Places: row.Places,
			Now: row.Now, Hour: row.Hour, Busiest: row.Busiest, Profiles: row.Profiles, Strangers: row.Strangers}
		for _, h := range row.Holders {
			key, err := ident.ParseKey(h.User, h.Server)
			if err != nil {
				return g, fmt.Errorf("cannot read the holder of %s: %w", row.Name, err)
			}
			d.Holders = append(d.Holders, Holder{key, h.Profile, timeOf(h.Since), h.Processes})
		}
		g.Devices = append(g.Devices, d)
	}
	return g, nil
}

// GPUs returns the devices of the host that can be lent, and who holds them.
func (c *Client) GPUs(ctx context.Context) (GPUs, error) {
	return read(ctx, c, "GPUs", GPUsRow.gpus)
}
