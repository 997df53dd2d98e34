package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// timeFormat is JupyterHub's: ISO 8601 in UTC with microseconds and a Z.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// stamp returns JupyterHub's form of a time, nil for none.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(timeFormat)
	return &s
}

func tokenID(id int64) string { return "a" + strconv.FormatInt(id, 10) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// model is a JSON object of which a caller may see some keys only.
type model map[string]any

// view is a scope and the keys of a model that it shows.
type view struct {
	scope string
	keys  []string
}

// filter keeps the keys that the views show whose scope the caller has on the entity
// (apihandlers/base.py: _filter_model). Nothing at all is nil.
func (m model) filter(views []view, allows func(scope string) bool) (kept model, shown map[string]bool) {
	shown = map[string]bool{}
	for _, v := range views {
		if !allows(v.scope) {
			continue
		}
		for _, key := range v.keys {
			shown[key] = true
			if value, ok := m[key]; ok {
				if kept == nil {
					kept = model{}
				}
				kept[key] = value
			}
		}
	}
	return kept, shown
}

var userViews = []view{
	{"read:users", []string{"kind", "name", "admin", "roles", "groups", "server", "pending", "created", "last_activity",
		"user_info", "access_lost"}},
	{"read:users:name", []string{"kind", "name", "admin", "user_info"}},
	{"read:users:groups", []string{"kind", "name", "groups"}},
	{"read:users:activity", []string{"kind", "name", "last_activity"}},
	{"read:servers", []string{"kind", "name", "servers"}},
	{"read:roles:users", []string{"kind", "name", "roles", "admin"}},
	{"admin:auth_state", []string{"kind", "name", "auth_state"}},
}

// user returns JupyterHub's model of a user as far as the caller may see it; nil when that
// is nothing. user_info is of version 6, in which JupyterLab shows it for people.
func (a *API) userModel(ctx context.Context, c access.Subject, u store.User, withStopped bool) (model, error) {
	groups, err := a.cfg.Authority.Groups(ctx, u.Name)
	if err != nil {
		return nil, err
	}
	own := a.cfg.Servers.Get(ident.Key{User: u.Name})
	m := model{
		"kind": "user", "name": u.Name, "admin": u.Admin, "roles": a.cfg.Authority.UserRoles(u.Name, u.Admin),
		"groups": list(groups), "server": nil, "pending": pending(own.State), "auth_state": nil,
		"created": stamp(u.Created), "last_activity": stamp(u.LastActivity), "user_info": userInfo(u),
	}
	if own.State == servers.Ready {
		m["server"] = a.url(own.Key)
	}
	standing, err := a.cfg.Records.StandingOf(ctx, u.Name)
	if err != nil {
		return nil, err
	}
	if !standing.Lost.IsZero() { // our own
		m["access_lost"] = map[string]any{"at": stamp(standing.Lost), "reason": standing.Reason}
	}
	kept, shown := m.filter(userViews, func(scope string) bool { return c.MayUser(u.Name, scope) })
	models, err := a.serversOf(ctx, c, u.Name, withStopped)
	if err != nil {
		return nil, err
	}
	if shown["servers"] || len(models) > 0 {
		if kept == nil {
			kept = model{"kind": "user", "name": u.Name}
		}
		kept["servers"] = models
	}
	return kept, nil
}

// userInfo is what JupyterLab shows for a person (JupyterHub 6).
func userInfo(u store.User) map[string]any {
	name := u.DisplayName
	if name == "" {
		name = u.Name.String()
	}
	return map[string]any{"name": u.Name, "display_name": name}
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// serversOf returns the models of the user's servers that the caller may read: the active
// ones, and all that are remembered when withStopped.
func (a *API) serversOf(ctx context.Context, c access.Subject, u ident.User, withStopped bool) (map[string]model,
	error) {
	models := map[string]model{}
	for _, s := range a.cfg.Servers.Of(u) {
		if !s.State.Active() && !withStopped || !c.MayServer(s.Key, "read:servers") {
			continue
		}
		m, err := a.serverModel(ctx, c, s)
		if err != nil {
			return nil, err
		}
		models[s.Key.Server.String()] = m
	}
	if !withStopped {
		return models, nil
	}
	known, err := a.cfg.Records.ServersOf(ctx, u)
	if err != nil {
		return nil, err
	}
	for _, rec := range known {
		name := rec.Key.Server.String()
		if _, there := models[name]; there || !c.MayServer(rec.Key, "read:servers") {
			continue
		}
		if models[name], err = a.serverModel(ctx, c, a.cfg.Servers.Get(rec.Key)); err != nil {
			return nil, err
		}
	}
	return models, nil
}

// pending is JupyterHub's word for what a server is about to become; nil for nothing.
func pending(state servers.State) *string {
	switch {
	case state.Pending():
		return optional("spawn")
	case state == servers.Stopping:
		return optional("stop")
	}
	return nil
}

// serverModel returns JupyterHub's model of a server, with what is our own: JupyterHub's clients overlook that.
func (a *API) serverModel(ctx context.Context, c access.Subject, s servers.Server) (model, error) {
	rec, err := a.cfg.Records.ServerByKey(ctx, s.Key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	m := a.bareServer(rec, s)
	if c.MayServer(s.Key, "admin:server_state") {
		m["state"] = serverState(s)
	}
	if q, ok := a.cfg.Servers.Queue(s.Key); ok {
		m["queue"] = queueModel(q)
	}
	if a.cfg.Cull != nil {
		if n, ok := a.cfg.Cull(s.Key); ok {
			m["cull"] = announcedEnd(n)
		}
	}
	if held := a.devices(ctx, s); len(held) > 0 {
		m["gpus"] = held
	}
	return m, nil
}

// bareServer returns the keys of a server's model that every caller sees who may read it.
func (a *API) bareServer(rec store.Server, s servers.Server) model {
	last := s.LastActivity
	if rec.LastActivity.After(last) {
		last = rec.LastActivity
	}
	m := model{
		"name": s.Key.Server, "display_name": rec.DisplayName,
		"full_name":     s.Key.User.String() + "/" + s.Key.Server.String(),
		"last_activity": stamp(last), "started": nil, "pending": pending(s.State),
		"ready": s.State == servers.Ready, "stopped": !s.State.Active(),
		"url": a.url(s.Key), "progress_url": a.progressPath(s.Key), "full_url": nil, "full_progress_url": nil,
		"user_options": options(rec, s),
	}
	if s.State.Active() {
		m["started"] = stamp(s.Started)
	}
	if a.cfg.PublicURL != "" {
		m["full_url"] = a.fullURL(s.Key)
		m["full_progress_url"] = a.full(a.progressPath(s.Key))
	}
	return m
}

// serverState is what JupyterHub's spawner would keep of a server.
func serverState(s servers.Server) map[string]any {
	state := map[string]any{}
	if s.State.Active() && s.State != servers.Queued {
		state["unit"] = s.Name
	}
	return state
}

// queueModel is the position of a start that waits for devices.
func queueModel(q servers.Queue) map[string]any {
	m := map[string]any{"position": q.Position, "of": q.Of, "since": stamp(q.Since), "estimate_seconds": nil}
	if q.Estimate > 0 {
		m["estimate_seconds"] = int(q.Estimate.Seconds())
	}
	return m
}

// announcedEnd reports when a server will be stopped, or started again without its GPU.
func announcedEnd(n cull.Notice) map[string]any {
	end := map[string]any{"at": stamp(n.At), "reason": n.Reason}
	if n.Reason == cull.ReasonGPU {
		end["action"], end["unused_since"], end["may_keep"] = "stop", stamp(n.Unused), n.MayPostpone()
		if n.Restart {
			end["action"] = "restart-without-gpu"
		}
	}
	return end
}

// devices returns the devices that a server holds.
func (a *API) devices(ctx context.Context, s servers.Server) []string {
	if a.cfg.Devices == nil || !s.State.Active() {
		return nil
	}
	return a.cfg.Devices(ctx, s.Key)
}

// options returns what the server was, or will be, started with.
func options(rec store.Server, s servers.Server) map[string]any {
	o := map[string]any{}
	for key, value := range rec.UserOptions {
		o[key] = value
	}
	if s.State.Active() && s.Profile != "" {
		o["profile"] = s.Profile
	}
	return o
}

// url returns the server's URL path, and its whole URL where each member has an origin, as JupyterHub's models have it
// with a subdomain_host.
func (a *API) url(k ident.Key) string {
	if a.cfg.Origins.Separate() {
		return a.cfg.Origins.Server(k.User) + a.path(k)
	}
	return a.path(k)
}

// fullURL returns the server's URL.
func (a *API) fullURL(k ident.Key) string {
	if a.cfg.Origins.Separate() {
		return a.url(k)
	}
	return a.full(a.path(k))
}

// path returns the server's URL path.
func (a *API) path(k ident.Key) string { return a.cfg.BaseURL + k.Path()[1:] }

func (a *API) progressPath(k ident.Key) string {
	p := a.cfg.BaseURL + "hub/api/users/" + k.User.String() + "/server"
	if !k.Server.IsDefault() {
		p += "s/" + k.Server.String()
	}
	return p + "/progress"
}

// full returns the public URL of a path below BaseURL.
func (a *API) full(path string) string {
	return a.cfg.PublicURL + strings.TrimPrefix(path, a.cfg.BaseURL)
}

// tokenModel returns JupyterHub's model of a token. Its scopes are what it may do now.
func (a *API) tokenModel(ctx context.Context, t store.Token) (model, error) {
	may, err := a.cfg.Access.TokenScopes(ctx, t)
	if err != nil {
		return nil, err
	}
	m := model{
		"user": t.User, "id": tokenID(t.ID), "kind": "api_token", "roles": []string{},
		"scopes":  list(may.Sorted()),
		"created": stamp(t.Created), "last_activity": stamp(t.LastUsed), "expires_at": stamp(t.Expires),
		"note": t.Note, "session_id": optional(t.SessionID), "oauth_client": a.clientName(t.ClientID),
	}
	standing, err := a.cfg.Records.StandingOf(ctx, t.User)
	if !standing.Lost.IsZero() {
		m["suspended"] = true // our own; JupyterHub's clients overlook it
	}
	return m, err
}

// clientName describes an OAuth client for people.
func (a *API) clientName(id string) string {
	client, ok := a.cfg.Client(id)
	switch {
	case id == "":
		return "JupyterHub"
	case ok && client.Server != nil:
		return "Server at " + a.path(*client.Server)
	case ok:
		return client.Service
	}
	return id
}

var groupViews = []view{
	{"read:groups", []string{"kind", "name", "properties", "users"}},
	{"read:groups:name", []string{"kind", "name"}},
	{"read:roles:groups", []string{"kind", "name", "roles"}},
}

func (a *API) groupModel(c access.Subject, g store.Group) model {
	properties := g.Properties
	if properties == nil {
		properties = map[string]any{}
	}
	m := model{"kind": "group", "name": g.Name, "roles": a.cfg.Authority.GroupRoles(g.Name), "users": list(g.Users),
		"properties": properties}
	kept, _ := m.filter(groupViews, func(scope string) bool { return c.MayGroup(g.Name, scope) })
	return kept
}

var serviceViews = []view{
	{"read:services", []string{"kind", "name", "admin", "url", "prefix", "command", "pid", "info", "display"}},
	{"read:services:name", []string{"kind", "name", "admin"}},
	{"read:roles:services", []string{"kind", "name", "roles", "admin"}},
}

// serviceModel returns JupyterHub's model of a service. No service is a process of ours, so
// there is never a command or pid.
func (a *API) serviceModel(c access.Subject, s services.Service) model {
	info := s.Info
	if info == nil {
		info = map[string]any{}
	}
	m := model{
		"kind": "service", "name": s.Name, "roles": a.cfg.Authority.ServiceRoles(s.Name, s.Admin), "admin": s.Admin,
		"url": s.URL, "prefix": s.Prefix, "command": []string{}, "pid": 0, "info": info, "display": s.Display,
	}
	kept, _ := m.filter(serviceViews, func(scope string) bool { return c.MayService(s.Name, scope) })
	return kept
}

// withStopped reports whether a request asks for stopped servers too: any value, even none,
// but 0 and false (apihandlers/base.py: include_stopped_servers).
func withStopped(r *http.Request) bool {
	q := r.URL.Query()
	if !q.Has("include_stopped_servers") {
		return false
	}
	v := strings.ToLower(q.Get("include_stopped_servers"))
	return v != "0" && v != "false"
}
