package operator

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// identities lists to which account of the provider each name belongs.
func (o *Operator) identities(w http.ResponseWriter, r *http.Request) error {
	known, err := o.cfg.Identities(r.Context())
	if err != nil {
		return err
	}
	all := []control.Identity{}
	for _, i := range known {
		all = append(all, control.Identity(i))
	}
	answer(w, http.StatusOK, all)
	return nil
}

// forget lets another account have a name.
func (o *Operator) forget(w http.ResponseWriter, r *http.Request) error {
	var req control.ForgetRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	err := o.cfg.Actions.ForgetIdentity(r.Context(), o.cfg.Subject(r.Context()), req.User)
	if reason(err) == actions.NoUser {
		return &httpx.Error{Status: http.StatusNotFound, Public: err.Error(), Hint: "gifford-hub identities list"}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
