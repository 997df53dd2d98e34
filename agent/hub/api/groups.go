package api

import (
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// groupBody is what a request may say of a group, or of several.
type groupBody struct {
	Name   *string  `json:"name"`
	Groups []string `json:"groups"`
	Users  []string `json:"users"`
	Roles  []string `json:"roles"`
}

func (a *API) listGroups(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	all, err := a.cfg.Records.Groups(r.Context())
	if err != nil {
		return err
	}
	models := []model{}
	for _, g := range all {
		if !c.MayGroup(g.Name, "list:groups") {
			continue
		}
		if m := a.groupModel(c, g); m != nil {
			models = append(models, m)
		}
	}
	return a.pages(w, r, p, cut(p, models), len(models))
}

// findGroup returns the group of the path.
func (a *API) findGroup(r *http.Request) (store.Group, error) {
	g, err := a.cfg.Records.GroupByName(r.Context(), r.PathValue("group"))
	if errors.Is(err, store.ErrNotFound) {
		return g, httpx.Fail(http.StatusNotFound, "No such group: %s", r.PathValue("group"))
	}
	return g, err
}

func (a *API) writeGroup(c access.Subject, w http.ResponseWriter, r *http.Request, status int, name string) error {
	g, err := a.cfg.Records.GroupByName(r.Context(), name)
	if err != nil {
		return err
	}
	m := a.groupModel(c, g)
	if m == nil {
		m = model{}
	}
	return a.json(w, status, m)
}

func (a *API) group(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	g, err := a.findGroup(r)
	if err != nil {
		return err
	}
	return a.writeGroup(c, w, r, http.StatusOK, g.Name)
}

// members returns the users of a request, who must be known to the hub.
func (a *API) members(r *http.Request, raw []string) ([]ident.User, error) {
	users := []ident.User{}
	for _, name := range raw {
		u, err := a.lookUp(r, name)
		if err != nil && httpx.Public(err).Status == http.StatusNotFound {
			return nil, httpx.Fail(http.StatusBadRequest, "No such user: %s", name)
		}
		if err != nil {
			return nil, err
		}
		users = append(users, u.Name)
	}
	return users, nil
}

func (a *API) createGroups(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	var body groupBody
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	if len(body.Groups) == 0 {
		return httpx.Fail(http.StatusBadRequest, "Must specify at least one group to create")
	}
	users, err := a.members(r, body.Users)
	if err != nil {
		return err
	}
	var groups []store.Group
	for _, name := range body.Groups {
		groups = append(groups, store.Group{Name: name, Users: users})
	}
	if err := a.saveGroups(c, r, groups); err != nil {
		return err
	}
	models := []model{}
	for _, g := range groups {
		models = append(models, a.groupModel(c, g))
	}
	return a.json(w, http.StatusCreated, models)
}

// saveGroups makes all the groups or none.
func (a *API) saveGroups(c access.Subject, r *http.Request, groups []store.Group) error {
	err := a.cfg.Records.CreateGroups(r.Context(), groups)
	var exists *store.ExistsError
	if errors.As(err, &exists) {
		return httpx.Fail(http.StatusConflict, "Group %s already exists", exists.Name)
	}
	var invalid *store.InvalidNameError
	if errors.As(err, &invalid) {
		return httpx.Fail(http.StatusBadRequest, "%v", invalid)
	}
	if err != nil {
		return err
	}
	for _, g := range groups {
		a.cfg.Log.Info("group created", "event", "group-created", "group", g.Name, "by", c.Name())
	}
	return nil
}

func (a *API) createGroup(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	var body groupBody
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	users, err := a.members(r, body.Users)
	if err != nil {
		return err
	}
	g := store.Group{Name: r.PathValue("group"), Users: users}
	if err := a.saveGroups(c, r, []store.Group{g}); err != nil {
		return err
	}
	return a.writeGroup(c, w, r, http.StatusCreated, g.Name)
}

func (a *API) deleteGroup(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	g, err := a.findGroup(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Records.DeleteGroup(r.Context(), g.Name); err != nil {
		return err
	}
	a.cfg.Log.Info("group deleted", "event", "group-deleted", "group", g.Name, "by", c.Name())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) addMembers(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	return a.changeMembers(c, w, r, "add", func(g string, users []ident.User) error {
		return a.cfg.Records.AddToGroup(r.Context(), g, users)
	})
}

func (a *API) removeMembers(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	return a.changeMembers(c, w, r, "delete", func(g string, users []ident.User) error {
		return a.cfg.Records.RemoveFromGroup(r.Context(), g, users)
	})
}

func (a *API) changeMembers(c access.Subject, w http.ResponseWriter, r *http.Request, verb string,
	change func(string, []ident.User) error) error {
	g, err := a.findGroup(r)
	if err != nil {
		return err
	}
	var body groupBody
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	if body.Users == nil {
		return httpx.Fail(http.StatusBadRequest, "Must specify users to %s", verb)
	}
	users, err := a.members(r, body.Users)
	if err != nil {
		return err
	}
	if err := change(g.Name, users); err != nil {
		return err
	}
	a.cfg.Log.Info("group changed", "event", "group-members", "group", g.Name, "by", c.Name(), "change", verb, "users",
		len(users))
	return a.writeGroup(c, w, r, http.StatusOK, g.Name)
}

func (a *API) setProperties(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	g, err := a.findGroup(r)
	if err != nil {
		return err
	}
	var properties map[string]any
	if err := decode(w, r, &properties); err != nil || properties == nil {
		return httpx.Fail(http.StatusBadRequest, "Must specify properties")
	}
	if err := a.cfg.Records.SetGroupProperties(r.Context(), g.Name, properties); err != nil {
		return err
	}
	return a.writeGroup(c, w, r, http.StatusOK, g.Name)
}
