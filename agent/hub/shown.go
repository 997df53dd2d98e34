package hub

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/gate"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/visitors"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// shownAtGate is the gate of the servers. Who shows it a credential is none of the visitors that are bounded for each
// address: where each member has an origin, only the gate can know, since the session's cookie is not sent there.
type shownAtGate struct{ gate *gate.Gate }

// Admit is that of the gate.
func (c shownAtGate) Admit(w http.ResponseWriter, r *http.Request, key ident.Key) *proxy.Leave {
	leave := c.gate.Admit(w, r, key)
	if leave != nil && leave.Shown {
		visitors.Known(r)
	}
	return leave
}
