package operator

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// token makes a token for a user.
func (o *Operator) token(w http.ResponseWriter, r *http.Request) error {
	var req control.TokenRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	if req.Note == "" {
		req.Note = "made by root"
	}
	secret, t, err := o.cfg.Actions.CreateToken(r.Context(), o.cfg.Subject(r.Context()), actions.TokenRequest{
		Owner: req.User, Note: req.Note, ExpiresIn: req.Seconds, Scopes: req.Scopes})
	var refused *actions.Refusal
	switch {
	case errors.As(err, &refused) && refused.Reason == actions.NoUser:
		return &httpx.Error{Status: http.StatusNotFound, Public: fmt.Sprintf("no such user: user %q has not signed in "+
			"yet", req.User), Hint: "let them sign in once"}
	case refused != nil:
		return httpx.Fail(http.StatusBadRequest, "%s", refused.Message)
	case err != nil:
		return err
	}
	answer(w, http.StatusOK, control.TokenAnswer{Token: secret, ID: fmt.Sprintf("a%d", t.ID)})
	return nil
}
