package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// whoami answers whose the credentials are and what they may do. Every token may read at
// least its owner's name here; the scopes listed are its own alone (SelfAPIHandler).
func (a *API) whoami(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	m, err := a.modelOf(c, a.cfg.Access.Identified(c), r)
	if err != nil {
		return err
	}
	m["token_id"], m["session_id"], m["scopes"] = optional(c.TokenID), nil, list(c.Scopes().Sorted())
	if c.TokenID != "" {
		m["session_id"] = optional(c.SessionID) // the one that the token ends with
	}
	return a.json(w, http.StatusOK, m)
}

// modelOf returns the model of a user or service as viewer may see it.
func (a *API) modelOf(c, viewer access.Subject, r *http.Request) (model, error) {
	if c.Service != "" {
		s, _ := a.cfg.Services.Get(c.Service)
		return a.serviceModel(viewer, s), nil
	}
	u, err := a.cfg.Records.UserByName(r.Context(), c.User)
	if errors.Is(err, store.ErrNotFound) {
		u, err = store.User{Name: c.User, Admin: c.Admin()}, nil // a server outlived the hub's database
	}
	if err != nil {
		return nil, err
	}
	return a.userModel(r.Context(), viewer, u, withStopped(r))
}

// tokenWhoami is the old way to ask whose a token is (deprecated in JupyterHub 1).
func (a *API) tokenWhoami(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	token := r.PathValue("token")
	if token == "" {
		return a.whoami(c, w, r)
	}
	other := r.Clone(r.Context())
	other.Header.Set("Authorization", "token "+token)
	owner, err := a.cfg.Access.Request(other)
	if err != nil {
		return httpx.Fail(http.StatusNotFound, "no such token")
	}
	m, err := a.modelOf(owner, c, r)
	if err != nil {
		return err
	}
	if m == nil {
		return errHidden()
	}
	return a.json(w, http.StatusOK, m)
}

// findUser returns the user of the path, who must be known to the hub.
func (a *API) findUser(r *http.Request) (store.User, error) {
	return a.lookUp(r, r.PathValue("user"))
}

func (a *API) lookUp(r *http.Request, name string) (store.User, error) {
	u, err := ident.ParseUser(name)
	if err != nil {
		return store.User{}, httpx.Fail(http.StatusNotFound, "No such user: %s", name)
	}
	rec, err := a.cfg.Records.UserByName(r.Context(), u)
	if errors.Is(err, store.ErrNotFound) {
		return rec, httpx.Fail(http.StatusNotFound, "No such user: %s", name)
	}
	return rec, err
}

// writeUser answers with a user's model; an empty object where the caller may see nothing
// of it.
func (a *API) writeUser(c access.Subject, w http.ResponseWriter, r *http.Request, status int, u store.User) error {
	m, err := a.userModel(r.Context(), c, u, withStopped(r))
	if err != nil {
		return err
	}
	if m == nil {
		m = model{}
	}
	return a.json(w, status, m)
}

func (a *API) user(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := a.findUser(r)
	if err != nil {
		return err
	}
	return a.writeUser(c, w, r, http.StatusOK, u)
}

// listUsers answers GET /users with its filters, order and pages.
func (a *API) listUsers(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	q, err := a.userQuery(c, r)
	if err != nil {
		return err
	}
	q.Offset, q.Limit = p.offset, p.limit
	users, total, err := a.cfg.Records.FindUsers(r.Context(), q)
	if err != nil {
		return err
	}
	models := []model{}
	for _, u := range users {
		m, err := a.userModel(r.Context(), c, u, withStopped(r))
		if err != nil {
			return err
		}
		if m != nil {
			models = append(models, m)
		}
	}
	return a.pages(w, r, p, models, total)
}

// userQuery reads the filters of a request and adds those of the caller's scope.
func (a *API) userQuery(c access.Subject, r *http.Request) (store.UserQuery, error) {
	args := r.URL.Query()
	q := store.UserQuery{NameFilter: args.Get("name_filter"), Sort: "id"}
	if args.Has("sort") {
		q.Sort = args.Get("sort")
	}
	switch strings.TrimPrefix(q.Sort, "-") {
	case "id", "name", "last_activity":
	default:
		return q, httpx.Fail(http.StatusBadRequest, "sort must be 'id', 'name', or 'last_activity', not '%s'", q.Sort)
	}
	if err := a.filterState(&q, args.Get("state")); err != nil {
		return q, err
	}
	reach := c.Reach("list:users")
	if reach.All {
		return q, nil
	}
	if len(reach.Servers)+len(reach.Services) > 0 {
		return q, httpx.Fail(http.StatusForbidden, "list:users can be filtered by user and group only")
	}
	visible := append([]ident.User{}, reach.Users...)
	for _, g := range reach.Groups {
		members, err := a.cfg.Records.Members(r.Context(), g)
		if err != nil {
			return q, err
		}
		visible = append(visible, members...)
	}
	q.Only = both(q.Only, visible)
	return q, nil
}

// filterState keeps users by their servers' states: "active" is any server that runs or is
// on its way, "ready" one that answers, "inactive" no active one.
func (a *API) filterState(q *store.UserQuery, state string) error {
	var active, ready []ident.User
	for _, s := range a.cfg.Servers.List() {
		if s.State.Active() {
			active = append(active, s.Key.User)
		}
		if s.State == servers.Ready {
			ready = append(ready, s.Key.User)
		}
	}
	switch state {
	case "":
	case "active":
		q.Only = list(active)
	case "ready":
		q.Only = list(ready)
	case "inactive":
		q.Except = active
	default:
		return httpx.Fail(http.StatusBadRequest, "Unrecognized state filter: '%s'", state)
	}
	return nil
}

// both returns who is in both lists; a nil list is everybody.
func both(some, others []ident.User) []ident.User {
	if some == nil {
		return others
	}
	in := map[ident.User]bool{}
	for _, u := range others {
		in[u] = true
	}
	common := []ident.User{}
	for _, u := range some {
		if in[u] {
			common = append(common, u)
		}
	}
	return common
}

// userBody is what a request may say of a user. auth_state has no meaning here: what the
// provider gave stays with the sign-in.
type userBody struct {
	Name      *string        `json:"name"`
	Admin     *bool          `json:"admin"`
	Groups    []string       `json:"groups"`
	Roles     []string       `json:"roles"`
	AuthState map[string]any `json:"auth_state"`
}

func (a *API) createUsers(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	var body struct {
		userBody
		Usernames []string `json:"usernames"`
	}
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	if len(body.Usernames) == 0 {
		return httpx.Fail(http.StatusBadRequest, "Must specify at least one user to create")
	}
	names, err := parseUsers(body.Usernames)
	if err != nil {
		return err
	}
	made, _, err := a.cfg.Actions.CreateUsers(r.Context(), c, names, body.Admin != nil && *body.Admin)
	if err != nil {
		return err
	}
	if len(made) == 0 {
		return httpx.Fail(http.StatusConflict, "All %d users already exist", len(names))
	}
	models := []model{}
	for _, u := range made {
		m, err := a.userModel(r.Context(), c, u, false)
		if err != nil {
			return err
		}
		models = append(models, m)
	}
	return a.json(w, http.StatusCreated, models)
}

// parseUsers checks names; the error names all that cannot be.
func parseUsers(raw []string) (names []ident.User, err error) {
	var invalid []string
	for _, text := range raw {
		u, err := ident.ParseUser(text)
		if err != nil {
			invalid = append(invalid, text)
			continue
		}
		names = append(names, u)
	}
	switch len(invalid) {
	case 0:
		return names, nil
	case 1:
		return nil, httpx.Fail(http.StatusBadRequest, "Invalid username: %s", invalid[0])
	}
	return nil, httpx.Fail(http.StatusBadRequest, "Invalid usernames: %s", strings.Join(invalid, ", "))
}

func (a *API) createUser(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	var body userBody
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	names, err := parseUsers([]string{r.PathValue("user")})
	if err != nil {
		return err
	}
	made, _, err := a.cfg.Actions.CreateUsers(r.Context(), c, names, body.Admin != nil && *body.Admin)
	if err != nil {
		return err
	}
	if len(made) == 0 {
		return httpx.Fail(http.StatusConflict, "User %s already exists", names[0])
	}
	return a.writeUser(c, w, r, http.StatusCreated, made[0])
}

// changeUser answers PATCH: the admin mark. A name is a Unix account's and can't change.
func (a *API) changeUser(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := a.findUser(r)
	if err != nil {
		return err
	}
	var body *userBody
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	if body == nil {
		return httpx.Fail(http.StatusBadRequest, "Invalid JSON data: the body must be an object")
	}
	if body.Name != nil && *body.Name != u.Name.String() {
		return httpx.Fail(http.StatusBadRequest, "cannot rename user %s: users are Unix accounts, and their servers "+
			"and files have their names", u.Name)
	}
	admin := u.Admin
	if body.Admin != nil {
		admin = *body.Admin
	}
	if err := a.cfg.Actions.SetAdmin(r.Context(), c, u.Name, admin); err != nil {
		return err
	}
	u.Admin = admin
	m, err := a.userModel(r.Context(), c, u, false)
	if err != nil {
		return err
	}
	if m == nil {
		m = model{}
	}
	m["auth_state"] = nil
	return a.json(w, http.StatusOK, m)
}

// deleteUser stops the user's servers and forgets the user. The Unix account and its files
// stay.
func (a *API) deleteUser(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := a.findUser(r)
	if err != nil {
		return err
	}
	err = a.cfg.Actions.DeleteUser(r.Context(), c, u.Name, true)
	switch {
	case refused(err, actions.Oneself):
		return httpx.Fail(http.StatusBadRequest, "Cannot delete yourself!")
	case refused(err, actions.Stopping):
		return httpx.Fail(http.StatusBadRequest, "%s's server is in the process of stopping, please wait.", u.Name)
	case err != nil:
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
