package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// maxFuture is how far ahead a server's clock may be (apihandlers/users.py:
// _parse_timestamp).
const maxFuture = 59 * time.Minute

// activityBody is what single-user servers report.
type activityBody struct {
	LastActivity string `json:"last_activity"`
	Servers      map[string]struct {
		LastActivity string `json:"last_activity"`
	} `json:"servers"`
}

// activity takes a report of when a user and their servers were last active. Times only
// move forward.
func (a *API) activity(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := ident.ParseUser(r.PathValue("user"))
	if err != nil {
		return httpx.Fail(http.StatusNotFound, "No such user: %s", r.PathValue("user"))
	}
	if _, err := a.findUser(r); err != nil && len(a.cfg.Servers.Of(u)) == 0 {
		return err // servers may outlive the hub's database, and report
	}
	var body activityBody
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if body.LastActivity == "" && len(body.Servers) == 0 {
		return httpx.Fail(http.StatusBadRequest, "body must contain at least one of `last_activity` or `servers`")
	}
	reported := map[ident.Key]time.Time{}
	for name, s := range body.Servers {
		key, err := ident.ParseKey(u.String(), name)
		if err != nil || !a.known(r, key) {
			return httpx.Fail(http.StatusBadRequest, "No such server '%s' for user %s", name, u)
		}
		if reported[key], err = timestamp(s.LastActivity); err != nil {
			return err
		}
	}
	for key, t := range reported {
		a.cfg.Servers.Touch(key, t)
		if err := a.touchServer(r, key, t); err != nil {
			return err
		}
	}
	if body.LastActivity == "" {
		return a.written(w, http.StatusOK)
	}
	t, err := timestamp(body.LastActivity)
	if err != nil {
		return err
	}
	if err := a.cfg.Records.TouchUser(r.Context(), u, t); err != nil {
		return err
	}
	return a.written(w, http.StatusOK)
}

// known reports whether the user has such a server, running or remembered.
func (a *API) known(r *http.Request, key ident.Key) bool {
	if key.Server.IsDefault() || a.cfg.Servers.Get(key).State.Active() {
		return true
	}
	_, err := a.cfg.Records.ServerByKey(r.Context(), key)
	return err == nil
}

// timestamp reads ISO 8601 with a zone, or without one as UTC, as Python writes it.
func timestamp(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04:05.999999999"} {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if time.Until(t) > maxFuture {
			return t, httpx.Fail(http.StatusBadRequest, "Rejecting activity from more than an hour in the future: %s",
				t.UTC().Format(timeFormat))
		}
		return t, nil
	}
	return time.Time{}, httpx.Fail(http.StatusBadRequest, "Not a valid timestamp: %q", text)
}

// touchServer keeps a server's activity. A hub that lost its database makes the server's
// record again.
func (a *API) touchServer(r *http.Request, key ident.Key, t time.Time) error {
	err := a.cfg.Records.TouchServer(r.Context(), key, t)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s := a.cfg.Servers.Get(key)
	return a.cfg.Records.UpsertServer(r.Context(), store.Server{Key: key, LastActivity: t, Profile: s.Profile,
		Started: s.Started})
}
