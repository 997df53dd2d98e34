package api

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
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
	if len(body.Command) > 0 {
		return httpx.Fail(http.StatusBadRequest, "Can not create managed service %s at runtime", name)
	}
	s := services.Service{Name: name, Admin: body.Admin, URL: body.URL, Info: body.Info,
		Display:  body.Display == nil || *body.Display,
		ClientID: body.OAuthClientID, RedirectURI: body.OAuthRedirectURI, NoConfirm: body.OAuthNoConfirm,
		AllowedScopes: body.OAuthClientAllowedScopes}
	if err := a.cfg.Actions.AddService(r.Context(), c, s, body.APIToken); err != nil {
		return err
	}
	added, _ := a.cfg.Services.Get(name)
	return a.json(w, http.StatusCreated, a.serviceModel(c, added))
}

func (a *API) removeService(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := a.cfg.Actions.RemoveService(r.Context(), c, r.PathValue("service")); err != nil {
		return err
	}
	return a.written(w, http.StatusOK)
}
