package operator

import (
	"context"
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// disks knows what members' files take.
type disks interface {
	Users() []ident.User
	Of(user ident.User) (backend.DiskUse, bool)
	Measure(ctx context.Context, user ident.User) (backend.DiskUse, error)
	Read(ctx context.Context)
	Places() []disk.Place
}

func (o *Operator) disk(w http.ResponseWriter, r *http.Request) error {
	d := control.Disk{FileSystems: []control.FileSystem{}, Users: []control.DiskUser{}}
	o.cfg.Disk.Read(r.Context())
	for _, p := range o.cfg.Disk.Places() {
		d.FileSystems = append(d.FileSystems, control.FileSystem{Path: p.Path, Free: p.Free, Total: p.Total,
			Low: p.Low})
	}
	for _, u := range o.cfg.Disk.Users() {
		if usage, ok := o.cfg.Disk.Of(u); ok {
			d.Users = append(d.Users, diskUser(u, usage))
		}
	}
	answer(w, http.StatusOK, d)
	return nil
}

func diskUser(u ident.User, usage backend.DiskUse) control.DiskUser {
	return control.DiskUser{User: u, Measured: usage.Measured, Home: control.DiskTree(usage.Home),
		Storage: control.DiskTree(usage.Storage)}
}

func (o *Operator) measure(w http.ResponseWriter, r *http.Request) error {
	var req control.DiskRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	usage, err := o.cfg.Disk.Measure(r.Context(), req.User)
	var refused *backend.Error
	if errors.As(err, &refused) || errors.Is(err, disk.ErrNoResult) {
		return &httpx.Error{Status: http.StatusConflict, Public: "cannot measure the user's files", Cause: err}
	} else if err != nil {
		return err
	}
	answer(w, http.StatusOK, diskUser(req.User, usage))
	return nil
}
