package launcherbus

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// AllGPUs is Profile.GPUs of a profile that gets every device that is open to all, and none where there is none.
const AllGPUs = -1

// Sharing says how many servers may hold a device at a time.
type Sharing string

// The ways in which a device is lent.
const (
	Exclusive Sharing = "exclusive" // to one
	Shared    Sharing = "shared"    // to GPU.Places
	Open      Sharing = "open"      // to all
)

// GPUs is what devices the host has. It crosses the bus as it is, D-Bus type
// (a(ssstsua(ssstu)(bdt)(bdt)(bdt)asa(uusst))a(ss)ts).
type GPUs struct {
	Devices   []GPU // by name
	Broken    []BrokenSpec
	Measured  uint64 // when GPU.Now was measured, in microseconds since 1970; 0 where no vendor's tool reports it
	ToolError string // why the vendor's tool reports nothing, for people; "" when it does or there is none
}

// GPU is a device of a CDI specification that servers can hold.
type GPU struct {
	Name      string // qualified CDI name, such as "nvidia.com/gpu=0"
	Model     string // the vendor's name of it; "" where that is not known
	Health    string // what is wrong with it, for people; "" when nothing is known to be
	Memory    uint64 // bytes; 0 where that is not known
	Sharing   Sharing
	Places    uint32 // how many servers may hold it; 0 for any number
	Holders   []Holder
	Now       gpu.Load
	Hour      gpu.Load      // the average over the last hour
	Busiest   gpu.Load      // the highest of the last hour
	Profiles  []string      // names of the profiles that can get it
	Strangers []gpu.Process // on it, but of no server that holds it, such as those that an ended server left
}

// Holder is a server that holds a device.
type Holder struct {
	User, Server, Profile string
	Since                 uint64 // microseconds since 1970
	Processes             uint32 // how many of its unit have the device open, as far as the vendor's tool reports them
}

// NewHolder describes a server that holds a device.
func NewHolder(key ident.Key, profile string, since time.Time, processes uint32) Holder {
	return Holder{key.User.String(), key.Server.String(), profile, micros(since), processes}
}

// Key returns the server; the zero Key if its names are not valid, which no answer of Client.GPUs has.
func (h Holder) Key() ident.Key {
	key, err := ident.ParseKey(h.User, h.Server)
	if err != nil {
		return ident.Key{}
	}
	return key
}

// Time returns since when the server holds the device.
func (h Holder) Time() time.Time { return TimeOf(h.Since) }

// BrokenSpec is a CDI specification that cannot be used, or a directory of them.
type BrokenSpec struct{ File, Error string }

// MeasuredAt sets when GPU.Now was measured; the zero time for never.
func (g *GPUs) MeasuredAt(t time.Time) { g.Measured = micros(t) }

// Time returns when GPU.Now was measured; the zero time for never.
func (g GPUs) Time() time.Time { return TimeOf(g.Measured) }

// check refuses an answer with a holder whose names are not valid.
func (g GPUs) check() (GPUs, error) {
	for _, d := range g.Devices {
		for _, h := range d.Holders {
			if _, err := ident.ParseKey(h.User, h.Server); err != nil {
				return GPUs{}, err
			}
		}
	}
	return g, nil
}

// GPUs returns the devices of the host that can be lent, and who holds them.
func (c *Client) GPUs(ctx context.Context) (GPUs, error) {
	return read(ctx, c, "GPUs", GPUs.check)
}
