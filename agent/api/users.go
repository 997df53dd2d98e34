package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/scopes"
	"github.com/gifford-lab/gifford-hub/agent/servers"
	"github.com/gifford-lab/gifford-hub/agent/store"
)

// timeFormat is JupyterHub's: ISO 8601 in UTC with microseconds and a Z.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// stamp gives JupyterHub's form of a time, nil for none.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(timeFormat)
	return &s
}

func tokenID(id int64) string { return "a" + strconv.FormatInt(id, 10) }

// serverModel is JupyterHub's model of a server.
type serverModel struct {
	Name         string         `json:"name"`
	FullName     string         `json:"full_name"`
	LastActivity *string        `json:"last_activity"`
	Started      *string        `json:"started"`
	Pending      *string        `json:"pending"`
	Ready        bool           `json:"ready"`
	Stopped      bool           `json:"stopped"`
	URL          string         `json:"url"`
	ProgressURL  string         `json:"progress_url"`
	UserOptions  map[string]any `json:"user_options"`
	Cull         *cullModel     `json:"cull,omitempty"` // ours; JupyterHub's clients overlook it
}

// cullModel is a server's announced end.
type cullModel struct {
	At     *string `json:"at"`
	Reason string  `json:"reason"` // "idle" or "max-age"
}

// userModel is JupyterHub's model of a user; what a caller may not read is left out.
type userModel struct {
	Kind         string                  `json:"kind"`
	Name         string                  `json:"name"`
	Admin        *bool                   `json:"admin,omitempty"`
	Roles        []string                `json:"roles,omitempty"`
	Groups       *[]string               `json:"groups,omitempty"`
	Server       *string                 `json:"server,omitempty"`
	Pending      *string                 `json:"pending,omitempty"`
	Created      *string                 `json:"created,omitempty"`
	LastActivity *string                 `json:"last_activity,omitempty"`
	Servers      *map[string]serverModel `json:"servers,omitempty"`
}

// whoamiModel is the answer to GET /user: the user model and what the credentials are.
type whoamiModel struct {
	userModel
	TokenID   *string  `json:"token_id"`
	SessionID *string  `json:"session_id"`
	Scopes    []string `json:"scopes"`
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (a *API) whoami(c Caller, w http.ResponseWriter, r *http.Request) error {
	model, err := a.model(c, r, c.User)
	if err != nil {
		return err
	}
	return a.json(w, http.StatusOK, whoamiModel{userModel: model, TokenID: optional(c.TokenID),
		SessionID: optional(c.SessionID), Scopes: c.Scopes.Sorted()})
}

func (a *API) user(c Caller, w http.ResponseWriter, r *http.Request) error {
	u, err := ident.ParseUser(r.PathValue("user"))
	if err != nil {
		return err // the scope check parsed it already
	}
	if _, err := a.cfg.Records.UserByName(r.Context(), u); errors.Is(err, store.ErrNotFound) {
		return httpx.Fail(http.StatusNotFound, "No access to resources or resources not found")
	}
	model, err := a.model(c, r, u)
	if err != nil {
		return err
	}
	return a.json(w, http.StatusOK, model)
}

// model gives as much of a user as the caller may read.
func (a *API) model(c Caller, r *http.Request, u ident.User) (userModel, error) {
	m := userModel{Kind: "user", Name: u.String()}
	if c.Scopes.AllowsUser(scopes.ReadUsersGroups, u) {
		groups := []string{}
		if u == c.User && c.Groups != nil {
			groups = c.Groups
		}
		m.Groups = &groups
	}
	if !c.Scopes.AllowsUser(scopes.ReadUsers, u) {
		return m, nil
	}
	record, err := a.cfg.Records.UserByName(r.Context(), u)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return m, err
	}
	m.Admin, m.Roles = &record.Admin, []string{"user"}
	if record.Admin {
		m.Roles = []string{"user", "admin"}
	}
	m.Created, m.LastActivity = stamp(record.Created), stamp(record.LastActivity)
	if c.Scopes.AllowsUser(scopes.ReadServers, u) {
		a.addServers(&m, u)
	}
	return m, nil
}

// addServers adds the active servers to a user's model.
func (a *API) addServers(m *userModel, u ident.User) {
	active := map[string]serverModel{}
	for _, s := range a.cfg.Servers.Of(u) {
		if !s.State.Active() {
			continue
		}
		model := a.server(s)
		active[s.Key.Server.String()] = model
		if s.Key.Server.IsDefault() {
			m.Pending = model.Pending
			if model.Ready {
				m.Server = &model.URL
			}
		}
	}
	m.Servers = &active
}

// server gives JupyterHub's model of a server.
func (a *API) server(s servers.Server) serverModel {
	m := serverModel{
		Name: s.Key.Server.String(), FullName: s.Key.User.String() + "/" + s.Key.Server.String(),
		LastActivity: stamp(s.LastActivity), Started: stamp(s.Started),
		Ready: s.State == servers.Ready, Stopped: !s.State.Active(),
		URL:         a.cfg.BaseURL + s.Key.Path()[1:],
		ProgressURL: a.progressURL(s.Key), UserOptions: map[string]any{},
	}
	if s.Profile != "" {
		m.UserOptions["profile"] = s.Profile
	}
	if a.cfg.Cull != nil {
		if n, ok := a.cfg.Cull(s.Key); ok {
			m.Cull = &cullModel{stamp(n.At), n.Reason}
		}
	}
	switch {
	case s.State.Pending():
		m.Pending = optional("spawn")
	case s.State == servers.Stopping:
		m.Pending = optional("stop")
	}
	return m
}

func (a *API) progressURL(k ident.Key) string {
	return a.cfg.BaseURL + "hub/api/users/" + k.User.String() + "/server/progress"
}

// maxFuture is how far ahead a server's clock may be (apihandlers/users.py).
const maxFuture = 59 * time.Minute

// activityBody is what single-user servers report.
type activityBody struct {
	LastActivity *time.Time `json:"last_activity"`
	Servers      map[string]struct {
		LastActivity *time.Time `json:"last_activity"`
	} `json:"servers"`
}

// activity takes a report of when a user and their servers were last active. Times
// only move forward.
func (a *API) activity(_ Caller, w http.ResponseWriter, r *http.Request) error {
	var body activityBody
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if body.LastActivity == nil && len(body.Servers) == 0 {
		return httpx.Fail(http.StatusBadRequest, "the body must hold last_activity or servers")
	}
	user := r.PathValue("user")
	touched := map[ident.Key]time.Time{}
	for name, s := range body.Servers {
		key, err := ident.ParseKey(user, name)
		if err != nil || !a.cfg.Servers.Get(key).State.Active() {
			return httpx.Fail(http.StatusBadRequest, "no such server: %q", name)
		}
		if s.LastActivity == nil {
			return httpx.Fail(http.StatusBadRequest, "server %q has no last_activity", name)
		}
		touched[key] = *s.LastActivity
	}
	latest := body.LastActivity
	for _, t := range touched {
		if latest == nil || t.After(*latest) {
			latest = &t
		}
	}
	if time.Until(*latest) > maxFuture {
		return httpx.Fail(http.StatusBadRequest, "last_activity %s is in the future; is the server's clock right?", latest.Format(time.RFC3339))
	}
	return a.record(r, user, *latest, touched)
}

func (a *API) record(r *http.Request, name string, latest time.Time, touched map[ident.Key]time.Time) error {
	user, err := ident.ParseUser(name)
	if err != nil {
		return err
	}
	for key, t := range touched {
		a.cfg.Servers.Touch(key, t)
		if err := a.touchServer(r, key, t); err != nil {
			return err
		}
	}
	return a.cfg.Records.TouchUser(r.Context(), user, latest)
}

// touchServer keeps a server's activity. A hub that lost its database makes the
// server's record anew.
func (a *API) touchServer(r *http.Request, key ident.Key, t time.Time) error {
	err := a.cfg.Records.TouchServer(r.Context(), key, t)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s := a.cfg.Servers.Get(key)
	return a.cfg.Records.UpsertServer(r.Context(), store.Server{Key: key, LastActivity: t, Profile: s.Profile, Started: s.Started})
}
