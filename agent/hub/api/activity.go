package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
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
func (a *API) activity(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := ident.ParseUser(r.PathValue("user"))
	if err != nil {
		return httpx.Fail(http.StatusNotFound, "No such user: %s", r.PathValue("user"))
	}
	var body activityBody
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if body.LastActivity == "" && len(body.Servers) == 0 {
		return httpx.Fail(http.StatusBadRequest, "body must contain at least one of `last_activity` or `servers`")
	}
	reported, err := body.activity(u)
	if err != nil {
		return err
	}
	err = a.cfg.Actions.ReportActivity(r.Context(), c, u, reported)
	var f *actions.Refusal
	if errors.As(err, &f) && f.Reason == actions.NoServer {
		return noSuchServer(u, strings.TrimPrefix(f.Name, u.String()+":"))
	}
	if err != nil {
		return err
	}
	return a.written(w, http.StatusOK)
}

func noSuchServer(u ident.User, name string) error {
	return httpx.Fail(http.StatusBadRequest, "No such server '%s' for user %s", name, u)
}

// activity returns what a body reports of a user.
func (b activityBody) activity(u ident.User) (report actions.Activity, err error) {
	report.Servers = map[ident.Key]time.Time{}
	for name, s := range b.Servers {
		key, err := ident.ParseKey(u.String(), name)
		if err != nil {
			return report, noSuchServer(u, name)
		}
		if report.Servers[key], err = timestamp(s.LastActivity); err != nil {
			return report, err
		}
	}
	if b.LastActivity != "" {
		report.User, err = timestamp(b.LastActivity)
	}
	return report, err
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
