package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// listServices answers a dictionary by name, as JupyterHub does.
func (a *API) listServices(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	models := map[string]model{}
	for _, s := range a.cfg.Services.List() {
		if !c.MayService(s.Name, "list:services") {
			continue
		}
		if m := a.serviceModel(c, s); m != nil {
			models[s.Name] = m
		}
	}
	return a.json(w, http.StatusOK, models)
}

func (a *API) service(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	s, ok := a.cfg.Services.Get(r.PathValue("service"))
	if !ok {
		return httpx.Fail(http.StatusNotFound, "No such service: %s", r.PathValue("service"))
	}
	return a.json(w, http.StatusOK, a.serviceModel(c, s))
}

// serviceBody is what a request may say of a new service. A hub that ran commands at the
// wish of a caller would do what no rule allows, so command and its like are refused.
type serviceBody struct {
	Name                     *string           `json:"name"`
	Admin                    bool              `json:"admin"`
	URL                      string            `json:"url"`
	OAuthClientAllowedScopes []string          `json:"oauth_client_allowed_scopes"`
	APIToken                 string            `json:"api_token"`
	Info                     map[string]any    `json:"info"`
	Display                  *bool             `json:"display"`
	OAuthNoConfirm           bool              `json:"oauth_no_confirm"`
	Command                  []string          `json:"command"`
	Cwd                      string            `json:"cwd"`
	Environment              map[string]string `json:"environment"`
	User                     string            `json:"user"`
	OAuthClientID            string            `json:"oauth_client_id"`
	OAuthRedirectURI         string            `json:"oauth_redirect_uri"`
}

// minServiceToken is the shortest token that JupyterHub takes from outside.
const minServiceToken = 8

func (a *API) addService(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("service")
	if _, exists := a.cfg.Services.Get(name); exists {
		return httpx.Fail(http.StatusConflict, "Service %s already exists", name)
	}
	var body *serviceBody
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	if body == nil {
		return httpx.Fail(http.StatusBadRequest, "Invalid service data")
	}
	if err := a.checkService(c, name, *body); err != nil {
		return err
	}
	s := services.Service{Name: name, Admin: body.Admin, URL: body.URL, Info: body.Info,
		Display:  body.Display == nil || *body.Display,
		ClientID: body.OAuthClientID, RedirectURI: body.OAuthRedirectURI, NoConfirm: body.OAuthNoConfirm,
		AllowedScopes: body.OAuthClientAllowedScopes}
	if body.APIToken != "" {
		s.TokenHash = ident.HashToken(body.APIToken)
	}
	if err := a.cfg.Services.Add(s); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "Failed to create service " + name + ": " +
			err.Error()}
	}
	a.cfg.Log.Warn("service added", "event", "service-added", "service", name, "by", c.Name(), "admin", body.Admin)
	added, _ := a.cfg.Services.Get(name)
	return a.json(w, http.StatusCreated, a.serviceModel(c, added))
}

// checkService refuses what no service may be, and what exceeds the caller.
func (a *API) checkService(c access.Subject, name string, body serviceBody) error {
	switch {
	case len(body.Command) > 0:
		return httpx.Fail(http.StatusBadRequest, "Can not create managed service %s at runtime", name)
	case body.APIToken != "" && len(body.APIToken) < minServiceToken:
		return httpx.Fail(http.StatusBadRequest, "api_token must be at least %d characters long", minServiceToken)
	case body.Admin && !c.Admin():
		return httpx.Fail(http.StatusBadRequest, "a service can be an administrator at the wish of an administrator "+
			"only")
	}
	excess := c.Excess(a.cfg.Authority.Table(), body.OAuthClientAllowedScopes)
	if len(excess) > 0 {
		return httpx.Fail(http.StatusBadRequest, "Not assigning requested scopes %s because they exceed those of %s %s",
			strings.Join(excess, ", "), c.Kind(), c.Name())
	}
	return nil
}

func (a *API) removeService(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("service")
	err := a.cfg.Services.Remove(name)
	switch {
	case errors.Is(err, services.ErrUnknown):
		return httpx.Fail(http.StatusNotFound, "Service %s does not exist", name)
	case errors.Is(err, services.ErrDeclared):
		return httpx.Fail(http.StatusMethodNotAllowed, "Service %s is not modifiable at runtime", name)
	case err != nil:
		return err
	}
	a.cfg.Log.Warn("service removed", "event", "service-removed", "service", name, "by", c.Name())
	return a.written(w, http.StatusOK)
}
