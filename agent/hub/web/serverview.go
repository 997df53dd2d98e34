package web

import (
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// serverView is a server as a page shows it to somebody, with what they may do to it.
type serverView struct {
	servers.Server
	User     string
	Name     string // "" for the default server
	Title    string // the name for people, or Name
	Own      bool
	Profile  string // for people
	MayStart bool
	MayStop  bool
	Open     string // URL path
	Spawn    string // URL path of the page to start it
	Stop     string // URL path that takes a POST
	Watch    string // URL path of the starting page
	Delete   string // URL path that takes a POST; "" where it cannot be deleted now
	Share    string // URL path; "" where it may not be shared
	Reset    string // URL path of the page that asks; "" where there is nothing to reset or it may not be reset
	Outdated bool   // its persistent container was made from other settings than the profile's present ones
	Postpone string // URL path that takes a POST; "" where no end can be postponed
	Back     string // URL path to go to after a stop; "" is the home page
	End      *endView
	Failure  *failureView
	Queue    *queueView // nil for one that is not queued
	Older    bool       // it runs on an older image than its next start would
	GPUs     []string   // qualified CDI names of the devices that it holds
}

// endView is the announced end of a server.
type endView struct {
	At   time.Time
	In   time.Duration // until then
	Idle bool          // because nobody uses it
	GPU  bool          // because it holds a GPU that it does not use; if none of all, it has run for too long
	Lost bool          // because its owner may not use the hub any more
	// Of GPU alone:
	Restart   bool          // it is started again without its GPU
	Unused    time.Duration // for how long it has not used the GPU
	Postponed bool          // once, which is as often as it can be
}

// Left is the time until the end, for people.
func (e endView) Left() string { return age(e.In) }

// NotUsed is the time for which the GPU was not used, for people.
func (e endView) NotUsed() string { return span(e.Unused) }

// failureView is why a server failed. It holds output of the member's own programs, so templates clean every text in
// it.
type failureView struct {
	Message string
	Hint    string
	Lines   []string
	Unit    string
	At      time.Time
}

// view shows a server to m. Others' servers are opened through hub/user/, where the opening is audited.
func (s *Web) view(m access.Subject, srv servers.Server, profiles []backend.Profile) serverView {
	key := srv.Key
	v := serverView{Server: srv, User: key.User.String(), Name: key.Server.String(), Title: key.Server.String(),
		Own: key.User == m.User, Profile: profileName(srv.Profile, profiles),
		MayStart: m.MayServer(key, scopes.StartServers), MayStop: m.MayServer(key, scopes.DeleteServers),
		Open: s.prefix(key), Spawn: s.spawnURL(key), Stop: s.act("stop", key), Watch: s.pendingURL(key, ""),
		Failure: failure(srv), Queue: s.queued(m, key, profiles)}
	if !v.Own {
		v.Open = s.hubPath(key)
	}
	if v.MayStop && v.Name != "" && !srv.State.Active() {
		v.Delete = s.act("delete", key)
	}
	if v.Own && m.MayServer(key, scopes.Shares) {
		v.Share = s.act("share", key)
	}
	v.End, v.Postpone = s.end(srv, v.MayStart)
	return v
}

// end returns the announced end of a server that runs, and where it can be postponed.
func (s *Web) end(srv servers.Server, mayPostpone bool) (end *endView, postpone string) {
	if s.cfg.Cull == nil || srv.State != servers.Ready {
		return nil, ""
	}
	n, ok := s.cfg.Cull(srv.Key)
	if !ok {
		return nil, ""
	}
	if mayPostpone && n.MayPostpone() {
		postpone = s.act("keep", srv.Key)
	}
	end = &endView{At: n.At, In: n.At.Sub(s.cfg.Now()), Idle: n.Reason == cull.ReasonIdle,
		GPU: n.Reason == cull.ReasonGPU, Lost: n.Reason == cull.ReasonAccessLost}
	if end.GPU {
		end.Restart, end.Unused, end.Postponed = n.Restart, s.cfg.Now().Sub(n.Unused), n.Postponed
	}
	return end, postpone
}

// act is the URL path of an act on a server: hub/VERB/USER[/NAME].
func (s *Web) act(verb string, key ident.Key) string {
	path := s.hub + verb + "/" + key.User.String()
	if !key.Server.IsDefault() {
		path += "/" + key.Server.String()
	}
	return path
}

// failure returns why a server failed; nil for one that has not.
func failure(srv servers.Server) *failureView {
	if srv.State != servers.Failed || srv.Failure == nil {
		return nil
	}
	f := srv.Failure
	return &failureView{Message: f.Message, Hint: f.Hint, Lines: f.Lines, Unit: srv.Name, At: f.At}
}

// prefix is the URL path of a server.
func (s *Web) prefix(key ident.Key) string { return s.cfg.BaseURL + key.Path()[1:] }

// hubPath is the URL path of the hub's that leads to a server, after a question where it is another's: hub/user/….
func (s *Web) hubPath(key ident.Key) string { return s.hub + key.Path()[1:] }

// Words is the server's state for people.
func (v serverView) Words() string {
	switch v.State {
	case servers.Queued:
		return "Waiting for a GPU"
	case servers.Starting, servers.Waiting:
		return "Starting"
	case servers.Ready:
		return "Running"
	case servers.Stopping:
		return "Stopping"
	case servers.Failed:
		return "Failed"
	}
	return "Stopped"
}

// whose names a server in a title.
func whose(m access.Subject, key ident.Key) string {
	name := key.User.String() + "'s server"
	if key.User == m.User {
		name = "your server"
	}
	if key.Server.IsDefault() {
		return name
	}
	return name + " " + key.Server.String()
}

// capital writes the first letter of a heading as a capital.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
