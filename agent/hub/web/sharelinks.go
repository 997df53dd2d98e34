package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// longestLink is the longest life of a link, in hours.
const longestLink = int(actions.MaxCodeLife / time.Hour)

// newLink makes a link that whoever has it may exchange for a share. It is shown once.
func (s *Web) newLink(m access.Subject, r *http.Request, key ident.Key) (link string, ends time.Time, err error) {
	hours, err := strconv.ParseInt(r.PostFormValue("hours"), 10, 16) // a duration cannot overflow
	if err != nil {
		hours = 0
	}
	secret, code, err := s.cfg.Actions.CreateCode(r.Context(), m, key, wantedScopes(r), time.Duration(hours)*time.Hour)
	if err != nil {
		return "", ends, shareWords(err)
	}
	return s.public(s.hub+"accept-share?"+url.Values{"code": {secret}}.Encode(), ""), code.Expires, nil
}

// revokeLink ends a link. One that does not exist has expired, or was revoked in another window.
func (s *Web) revokeLink(m access.Subject, r *http.Request, key ident.Key) error {
	id, err := strconv.ParseInt(r.PostFormValue("id"), 10, 64)
	if err != nil {
		return httpx.Fail(http.StatusBadRequest, "the form does not say which link")
	}
	err = s.cfg.Actions.DeleteCode(r.Context(), m, key, id)
	if reason(err) == actions.NoCode {
		return nil
	}
	return inOurWords(err)
}
