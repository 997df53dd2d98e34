package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// devices knows the host's GPUs.
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

// gpuRow is a device.
type gpuRow struct {
	Name, Model, Memory, Health string
	Lent                        string
	Free                        bool
	Holders                     []gpuHolder
	Profiles                    []string
	Now, Hour, Busiest          *gpuLoad // nil where that is not known
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
	Filled int // per cent of the device's memory; 0 where that is not known
}

// strangerRow is a process on a device outside the servers that hold it.
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

// gpusPage is hub/admin/gpus. It is for administrators alone, and only where there is
// something to show.
func (s *Web) gpusPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Admin() || !s.anyGPUs(r.Context()) {
		return errNotFound()
	}
	known, err := s.cfg.GPUs.GPUs(r.Context())
	if err != nil {
		return &httpx.Error{Status: http.StatusServiceUnavailable,
			Public: "the launcher does not tell of the GPUs at the moment", Hint: "systemctl status gifford-launcher",
			Cause: err}
	}
	profiles, _ := s.profiles(r.Context())
	body := gpusBody{gpusView: gpusView{Rows: s.gpuRows(m, known, profiles)}, Measured: known.Measured,
		ToolError: known.ToolError, Broken: known.Broken}
	for _, d := range known.Devices {
		for _, p := range d.Strangers {
			body.Strangers = append(body.Strangers, strangerRow{d.Name, s.cfg.GPUs.User(r.Context(), p.UID), p.Command,
				p.Unit, gpuSize(p.Memory), p.PID})
		}
	}
	s.render(w, r, http.StatusOK, page{Name: "gpus", Title: "GPUs", Member: m, Wide: true, Body: body})
	return nil
}

// anyGPUs reports whether the host has GPUs, or specifications of some that are broken.
func (s *Web) anyGPUs(ctx context.Context) bool {
	if s.cfg.GPUs == nil {
		return false
	}
	_, _ = s.cfg.GPUs.GPUs(ctx) // so that Any knows; when nothing is told, what was there before counts
	return s.cfg.GPUs.Any()
}

// gpusFor returns what the home page says of the host's GPUs, nil where there is none, and
// which of them a server holds.
func (s *Web) gpusFor(ctx context.Context, m access.Subject, profiles []backend.Profile) (*gpusView,
	func(ident.Key) []string) {
	if s.cfg.GPUs == nil {
		return nil, backend.GPUs{}.Held
	}
	known, err := s.cfg.GPUs.GPUs(ctx)
	switch {
	case err != nil && s.cfg.GPUs.Any():
		return &gpusView{Problem: "Who holds which GPU cannot be read at the moment."}, known.Held
	case len(known.Devices) == 0:
		return nil, known.Held
	}
	return &gpusView{Rows: s.gpuRows(m, known, profiles)}, known.Held
}

func (s *Web) gpuRows(m access.Subject, known backend.GPUs, profiles []backend.Profile) []gpuRow {
	var rows []gpuRow
	for _, d := range known.Devices {
		row := gpuRow{Name: d.Name, Model: d.Model, Memory: gpuSize(d.Memory), Health: d.Health, Lent: gpus.Lent(d),
			Free: d.Free(),
			Now:  gpuLoadOf(d.Now, d.Memory), Hour: gpuLoadOf(d.Hour, d.Memory),
			Busiest: gpuLoadOf(d.Busiest, d.Memory)}
		for _, h := range d.Holders {
			row.Holders = append(row.Holders, gpuHolder{holderName(m, h.Key), h.Key.User == m.User,
				profileName(h.Profile, profiles), h.Since})
		}
		for _, p := range d.Profiles {
			row.Profiles = append(row.Profiles, profileName(p, profiles))
		}
		rows = append(rows, row)
	}
	return rows
}

// holderName says whose server it is.
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

// gpuSize is "" for a size that is not known.
func gpuSize(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	return strings.ReplaceAll(gpus.Size(bytes), " ", "\u00a0")
}
