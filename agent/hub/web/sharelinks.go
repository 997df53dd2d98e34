package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// longestLink is JupyterHub's bound of a share code's life.
const longestLink = 365 * 24

// newLink makes a link that whoever has it may exchange for a share. It is shown once.
func (s *Web) newLink(m access.Subject, r *http.Request, key ident.Key) (link string, ends time.Time, err error) {
	hours, err := strconv.Atoi(r.PostFormValue("hours"))
	if err != nil || hours < 1 || hours > longestLink {
		return "", ends, httpx.Fail(http.StatusBadRequest, "a link is good for 1 to %d hours", longestLink)
	}
	list, err := granted(m, r, key)
	if err != nil {
		return "", ends, err
	}
	secret, at := rand.Text(), s.cfg.Now()
	ends = at.Add(time.Duration(hours) * time.Hour)
	id, err := s.cfg.Store.CreateShareCode(r.Context(), store.ShareCode{Hash: ident.HashToken(secret), Key: key,
		Scopes: list, Created: at, Expires: ends})
	if err != nil {
		return "", ends, err
	}
	s.cfg.Log.Info("share code made", "event", "share-code-created", "user", key.User.String(), "server",
		key.Server.String(), "by", m.User.String(), "code", id)
	return s.public(s.hub+"accept-share?"+url.Values{"code": {secret}}.Encode(), ""), ends, nil
}

func (s *Web) revokeLink(r *http.Request, key ident.Key) error {
	id, err := strconv.ParseInt(r.PostFormValue("id"), 10, 64)
	if err != nil {
		return httpx.Fail(http.StatusBadRequest, "the form does not say which link")
	}
	err = s.cfg.Store.DeleteShareCode(r.Context(), key, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // expired, or revoked in another window
	}
	if err == nil {
		s.cfg.Log.Info("share codes deleted", "event", "share-code-deleted", "user", key.User.String(), "server",
			key.Server.String(), "by", key.User.String(), "code", id)
	}
	return err
}
