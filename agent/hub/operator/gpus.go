package operator

import (
	"context"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// devices knows the host's GPUs.
type devices interface {
	GPUs(ctx context.Context) (backend.GPUs, error)
	User(ctx context.Context, uid uint32) string
}

func (o *Operator) gpus(w http.ResponseWriter, r *http.Request) error {
	known, err := o.cfg.GPUs.GPUs(r.Context())
	if err != nil {
		return &httpx.Error{Status: http.StatusServiceUnavailable, Public: "cannot ask the launcher for the GPUs",
			Cause: err, Hint: hint.Of(err)}
	}
	all := control.GPUs{Devices: []control.GPU{}, Broken: []control.BrokenSpec{}, Measured: known.Measured,
		ToolError: known.ToolError}
	for _, d := range known.Devices {
		all.Devices = append(all.Devices, o.device(r.Context(), d))
	}
	for _, b := range known.Broken {
		all.Broken = append(all.Broken, control.BrokenSpec(b))
	}
	answer(w, http.StatusOK, all)
	return nil
}

func (o *Operator) device(ctx context.Context, d backend.Device) control.GPU {
	g := control.GPU{Name: d.Name, Model: d.Model, Memory: d.Memory, Health: d.Health, Sharing: string(d.Sharing),
		Places: d.Places, Lent: gpus.Lent(d),
		Profiles: append([]string{}, d.Profiles...), Holders: []control.GPUHolder{}, Strangers: []control.GPUProcess{},
		Now: load(d.Now), Hour: load(d.Hour), Busiest: load(d.Busiest)}
	for _, h := range d.Holders {
		g.Holders = append(g.Holders, control.GPUHolder{User: h.Key.User, Server: h.Key.Server, Profile: h.Profile,
			Since: h.Since})
	}
	for _, p := range d.Strangers {
		g.Strangers = append(g.Strangers, control.GPUProcess{PID: p.PID, UID: p.UID, User: o.cfg.GPUs.User(ctx, p.UID),
			Command: p.Command, Unit: p.Unit, Memory: p.Memory})
	}
	return g
}

func load(l backend.Load) *control.GPULoad {
	if !l.Known {
		return nil
	}
	return &control.GPULoad{Busy: l.Busy, Memory: l.Memory}
}
