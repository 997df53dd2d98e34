package api

import (
	"context"
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

// members returns the users whom a request names.
func members(raw []string) ([]ident.User, error) {
	users := []ident.User{}
	for _, name := range raw {
		u, err := ident.ParseUser(name)
		if err != nil {
			return nil, httpx.Fail(http.StatusBadRequest, "No such user: %s", name)
		}
		users = append(users, u)
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
	users, err := members(body.Users)
	if err != nil {
		return err
	}
	if err := a.cfg.Actions.CreateGroups(r.Context(), c, body.Groups, users); err != nil {
		return err
	}
	models := []model{}
	for _, name := range body.Groups {
		models = append(models, a.groupModel(c, store.Group{Name: name, Users: users}))
	}
	return a.json(w, http.StatusCreated, models)
}

func (a *API) createGroup(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	var body groupBody
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	users, err := members(body.Users)
	if err != nil {
		return err
	}
	name := r.PathValue("group")
	if err := a.cfg.Actions.CreateGroups(r.Context(), c, []string{name}, users); err != nil {
		return err
	}
	return a.writeGroup(c, w, r, http.StatusCreated, name)
}

func (a *API) deleteGroup(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := a.cfg.Actions.DeleteGroup(r.Context(), c, r.PathValue("group")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) addMembers(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	return a.changeMembers(c, w, r, "add", a.cfg.Actions.AddMembers)
}

func (a *API) removeMembers(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	return a.changeMembers(c, w, r, "delete", a.cfg.Actions.RemoveMembers)
}

func (a *API) changeMembers(c access.Subject, w http.ResponseWriter, r *http.Request, verb string,
	change func(context.Context, access.Subject, string, []ident.User) error) error {
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
	users, err := members(body.Users)
	if err != nil {
		return err
	}
	if err := change(r.Context(), c, g.Name, users); err != nil {
		return err
	}
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
	if err := a.cfg.Actions.SetGroupProperties(r.Context(), c, g.Name, properties); err != nil {
		return err
	}
	return a.writeGroup(c, w, r, http.StatusOK, g.Name)
}
