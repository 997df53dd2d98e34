package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// devices knows the host's GPUs. Any reports whether there were any at the last answer of GPUs, User returns the name
// of an account, or its number.
type devices interface {
	GPUs(ctx context.Context) (backend.GPUs, error)
	Any() bool
	User(ctx context.Context, uid uint32) string
}

// gpusView is the host's GPUs as a member sees them.
type gpusView struct {
	Problem string // why there is nothing to show; "" when there is
	Rows    []gpuRow
}

// gpuRow is a device on a page.
type gpuRow struct {
	Name, Model, Memory, Health string
	Lent                        string // to how many servers at a time, for people
	Free                        bool
	Holders                     []gpuHolder
	Profiles                    []string
	Now, Hour, Busiest          *gpuLoad // nil where unknown
}

// gpuHolder is a server that holds a device.
type gpuHolder struct {
	Who     string // for people
	Own     bool
	Profile string // for people
	Since   time.Time
}

// gpuLoad is how much of a device is in use.
type gpuLoad struct {
	Busy   int // per cent
	Memory string
	Filled int // per cent of the device's memory; 0 where unknown
}

// strangerRow is a process that uses a device but belongs to no server that holds it.
type strangerRow struct {
	Device, User, Command, Unit, Memory string
	PID                                 uint32
}

// gpusBody is the page of GPUs.
type gpusBody struct {
	gpusView
	Measured  time.Time
	ToolError string
	Broken    []backend.BrokenSpec
	Strangers []strangerRow
}

// gpusPage is hub/admin/gpus, for administrators of hosts with GPUs.
func (s *Web) gpusPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Admin() {
		return errNotFound()
	}
	known, err := s.askGPUs(r.Context())
	if !s.anyGPUs() {
		return errNotFound()
	}
	if err != nil {
		return &httpx.Error{Status: http.StatusServiceUnavailable,
			Public: "the launcher cannot list the GPUs at the moment", Hint: hint.Of(err),
			Cause: err}
	}
	profiles, _ := s.profiles(r.Context())
	body := gpusBody{gpusView: gpusView{Rows: gpuRows(m, known.Devices, profiles)}, Measured: known.Measured,
		ToolError: known.ToolError, Broken: known.Broken, Strangers: s.strangerRows(r.Context(), known.Devices)}
	s.render(w, r, http.StatusOK, page{Name: "gpus", Title: "GPUs", Member: m, Wide: true, Body: body})
	return nil
}

func (s *Web) strangerRows(ctx context.Context, all []backend.Device) []strangerRow {
	var rows []strangerRow
	for _, d := range all {
		for _, p := range d.Strangers {
			rows = append(rows, strangerRow{Device: d.Name, User: s.cfg.GPUs.User(ctx, p.UID), Command: p.Command,
				Unit: p.Unit, Memory: gpuSize(p.Memory), PID: p.PID})
		}
	}
	return rows
}

// anyGPUs reports whether the host has GPUs, or broken specifications of some, by the last answer of askGPUs. After a
// failure the answer before it counts.
func (s *Web) anyGPUs() bool { return s.cfg.GPUs != nil && s.cfg.GPUs.Any() }

// askGPUs returns the host's GPUs; none where the hub does not watch them.
func (s *Web) askGPUs(ctx context.Context) (backend.GPUs, error) {
	if s.cfg.GPUs == nil {
		return backend.GPUs{}, nil
	}
	return s.cfg.GPUs.GPUs(ctx)
}

// homeGPUs shows the host's GPUs on the home page; nil where there are none.
func (s *Web) homeGPUs(m access.Subject, f hostFacts) *gpusView {
	switch {
	case f.gpusErr != nil && s.anyGPUs():
		return &gpusView{Problem: "Who holds which GPU cannot be read at the moment."}
	case len(f.gpus.Devices) == 0:
		return nil
	}
	return &gpusView{Rows: gpuRows(m, f.gpus.Devices, f.profiles)}
}

func gpuRows(m access.Subject, all []backend.Device, profiles []backend.Profile) []gpuRow {
	var rows []gpuRow
	for _, d := range all {
		row := gpuRow{Name: d.Name, Model: d.Model, Memory: gpuSize(d.Memory), Health: d.Health, Lent: gpus.Lent(d),
			Free: d.Free(), Now: gpuLoadOf(d.Now, d.Memory), Hour: gpuLoadOf(d.Hour, d.Memory),
			Busiest: gpuLoadOf(d.Busiest, d.Memory)}
		for _, h := range d.Holders {
			row.Holders = append(row.Holders, gpuHolder{Who: holderName(m, h.Key), Own: h.Key.User == m.User,
				Profile: profileName(h.Profile, profiles), Since: h.Since})
		}
		for _, p := range d.Profiles {
			row.Profiles = append(row.Profiles, profileName(p, profiles))
		}
		rows = append(rows, row)
	}
	return rows
}

// holderName names the owner of a server, and the server.
func holderName(m access.Subject, key ident.Key) string {
	switch {
	case key.User != m.User:
		return key.String()
	case key.Server.IsDefault():
		return "you"
	}
	return "you, in " + key.Server.String()
}

func gpuLoadOf(l backend.Load, memory uint64) *gpuLoad {
	if !l.Known {
		return nil
	}
	v := &gpuLoad{Busy: gpus.Whole(l.Busy), Memory: strings.ReplaceAll(gpus.Size(l.Memory), " ", "\u00a0")}
	if memory > 0 {
		v.Filled = gpus.Whole(min(1, float64(l.Memory)/float64(memory)))
	}
	return v
}

// gpuSize is a size of device memory for people, "" for an unknown one.
func gpuSize(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	return strings.ReplaceAll(gpus.Size(bytes), " ", "\u00a0")
}
