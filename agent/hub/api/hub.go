package api

import (
	"net/http"
	"runtime"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

func (a *API) root(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	return a.json(w, http.StatusOK, map[string]string{"version": a.cfg.Version})
}

func (a *API) health(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

// info answers administrators what runs. "python" and "sys_executable" are keys that clients
// may look for; what stands there is the truth about us.
func (a *API) info(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	class := func(name string) map[string]string { return map[string]string{"class": name, "version": a.cfg.Program} }
	return a.json(w, http.StatusOK, map[string]any{
		"version": a.cfg.Version, "python": runtime.Version(), "sys_executable": "/usr/bin/gifford-hub",
		"spawner": class("gifford-launcher"), "authenticator": class("openid-connect"),
	})
}

// shutdown ends the hub's process. systemd starts it again, and servers run on: stopping
// them with the hub is not what this hub does.
func (a *API) shutdown(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Proxy   *bool `json:"proxy"`
		Servers *bool `json:"servers"`
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if body.Servers != nil && *body.Servers {
		return httpx.Fail(http.StatusBadRequest, "this hub does not stop the servers with itself: stop them one by "+
			"one, or jupyter.slice on the host")
	}
	if err := a.cfg.Actions.Shutdown(r.Context(), c); err != nil {
		return err
	}
	return a.json(w, http.StatusAccepted, map[string]string{"message": "Shutting down Hub"})
}

// routingTable shows where the proxy sends what.
func (a *API) routingTable(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	all := a.cfg.Routes()
	var paths []string
	for path := range all {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	some := map[string]Route{}
	for _, path := range cut(p, paths) {
		some[path] = all[path]
	}
	return a.pages(w, r, p, some, len(all))
}

// checkRoutes reads back what runs.
func (a *API) checkRoutes(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := a.cfg.Resync(r.Context()); err != nil {
		return err
	}
	return a.written(w, http.StatusOK)
}

// moveProxy would tell JupyterHub where its proxy is. Ours is inside.
func (a *API) moveProxy(_ access.Subject, _ http.ResponseWriter, _ *http.Request) error {
	return httpx.Fail(http.StatusBadRequest, "the proxy is a part of this hub and cannot be elsewhere")
}
