package operator

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/accounting"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

func (o *Operator) usage(w http.ResponseWriter, r *http.Request) (err error) {
	q := store.AccountingQuery{Month: r.URL.Query().Get("month")}
	if name := r.URL.Query().Get("user"); name != "" {
		if q.User, err = ident.ParseUser(name); err != nil {
			return httpx.Fail(http.StatusBadRequest, "%v", err)
		}
	}
	spent, err := o.cfg.Accounting(r.Context(), q)
	if err != nil {
		return err
	}
	all := []control.Usage{}
	for _, h := range accounting.InHours(spent) {
		all = append(all, control.Usage(h))
	}
	answer(w, http.StatusOK, all)
	return nil
}
