package cull

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// manager knows the servers and stops them.
type manager interface {
	List() []servers.Server
	Stop(ctx context.Context, key ident.Key) error
}

// asker asks a running server whether it is busy.
type asker interface {
	Ask(ctx context.Context, key ident.Key) (Report, error)
}

// Report is a server's answer about itself.
type Report struct {
	Busy         bool      // a kernel works
	LastActivity time.Time // exact; the activity that servers report by themselves is minutes old
}

// Config is what a Culler needs. All fields are required except where noted.
type Config struct {
	Servers manager
	Ask     asker
	// Policy returns the rules for a person. On an error none of their servers is stopped.
	Policy func(ctx context.Context, user ident.User) (Policy, error)
	// Every is the time between polls of the servers.
	Every time.Duration
	// CPUTime returns the CPU time that a server has used since it started; ok is false when unknown. The caller
	// decides how it is measured. Optional.
	CPUTime func(ctx context.Context, key ident.Key) (cpu time.Duration, ok bool)
	// BusyCPU is the share of one core, 0.05 for 5 %, from which a server counts as busy whatever it reports. 0 turns
	// CPUTime off.
	BusyCPU float64
	// Traffic returns when data last passed to a server. It is used for servers that have never reported activity.
	// Optional.
	Traffic func(key ident.Key) time.Time
	// Touch records that a person postponed a server's end. Optional.
	Touch func(key ident.Key, at time.Time)
	// GPUs returns the devices and who holds them. Optional.
	GPUs func(ctx context.Context) (backend.GPUs, error)
	// BusyGPU is the share of a device, 0.05 for 5 %, from which it counts as in use. 0 turns GPUs off.
	BusyGPU float64
	// StartWithoutGPUs starts a server that released its devices. Required when a policy has GPURestart.
	StartWithoutGPUs func(key ident.Key, profile string) error
	// Departures knows whose servers end although they work, Leaving after the loss of the right to be here. Optional.
	Departures departures
	Leaving    time.Duration
	// Memory saves the last use of devices over a restart of the hub. Optional.
	Memory memory
	// OnCull is called with the reason for each stopped server, for counters. Optional.
	OnCull func(reason string)
	Log    *slog.Logger
}

// complete checks a Config and drops what its settings turn off.
func (c *Config) complete() error {
	if c.Servers == nil || c.Ask == nil || c.Policy == nil || c.Log == nil || c.Every <= 0 {
		return errors.New("cannot make the culler: servers, asker, policy, log and a time above zero between polls " +
			"are required")
	}
	if c.BusyCPU <= 0 {
		c.CPUTime = nil
	}
	if c.BusyGPU <= 0 {
		c.GPUs = nil
	}
	return nil
}
