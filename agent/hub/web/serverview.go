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

// serverView is a server as the pages show it to somebody, with what they may do to it.
type serverView struct {
	servers.Server
	User     string
	Name     string // "" for the default server
	Title    string // the name that its owner gave it, or Name
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
	Reset    string // URL path of the page that asks; "" where nothing is kept or it may not be reset
	Outdated bool   // what is kept was made from other settings than the profile's present ones
	Keep     string // URL path that takes a POST; "" where nothing is to be put off
	Back     string // URL path to go to after a stop; "" is the home page
	End      *endView
	Failure  *failureView
	Line     *lineView // nil for one that does not wait in it
	Older    bool      // it runs on an older image than its next start would
	GPUs     []string  // qualified CDI names of the devices that it holds
}

// endView is the announced end of a server.
type endView struct {
	At   time.Time
	In   time.Duration // until then
	Idle bool          // because nobody uses it
	GPU  bool          // because it holds a GPU that it does not use; otherwise, and not Idle, it has run for too long
	// Of GPU alone:
	Restart bool          // it is started again without its GPU
	Unused  time.Duration // for how long it has not used it
	Kept    bool          // that was put off once, and cannot be again
}

// Left says how long there is still, for people.
func (e endView) Left() string { return age(e.In) }

// NotUsed says for how long a GPU was not used, for people.
func (e endView) NotUsed() string { return span(e.Unused) }

// failureView is why a server failed. Nothing in it is trusted: it comes from the
// member's own programs.
type failureView struct {
	Message string
	Hint    string
	Lines   []string
	Unit    string
	At      time.Time
}

// view shows a server to m. Others' servers are opened through hub/user/, where that
// is written down.
func (s *Web) view(m access.Subject, srv servers.Server, profiles []backend.Profile) serverView {
	key := srv.Key
	v := serverView{Server: srv, User: key.User.String(), Name: key.Server.String(), Title: key.Server.String(),
		Own:      key.User == m.User,
		Profile:  profileName(srv.Profile, profiles),
		MayStart: m.MayServer(key, scopes.StartServers), MayStop: m.MayServer(key, scopes.DeleteServers),
		Open: s.prefix(key), Spawn: s.spawnURL(key), Stop: s.act("stop", key), Watch: s.pendingURL(key, ""),
		Failure: failure(srv)}
	if !v.Own {
		v.Open = s.hub + strings.TrimPrefix(key.Path(), "/")
	}
	if v.MayStop && v.Name != "" && !srv.State.Active() {
		v.Delete = s.act("delete", key)
	}
	if v.Own && m.MayServer(key, scopes.Shares) {
		v.Share = s.act("share", key)
	}
	v.Line = s.line(m, key, profiles)
	v.End, v.Keep = s.end(key, srv.State, v.MayStart)
	return v
}

// end reports when a server will be stopped though it runs, and where that is put off. An end
// for its age cannot be.
func (s *Web) end(key ident.Key, state servers.State, mayKeep bool) (end *endView, keep string) {
	if s.cfg.Cull == nil || state != servers.Ready {
		return nil, ""
	}
	n, ok := s.cfg.Cull(key)
	if !ok {
		return nil, ""
	}
	if s.cfg.Keep != nil && mayKeep && n.MayKeep() {
		keep = s.act("keep", key)
	}
	end = &endView{At: n.At, In: n.At.Sub(s.cfg.Now()), Idle: n.Reason == cull.ReasonIdle,
		GPU: n.Reason == cull.ReasonGPU}
	if end.GPU {
		end.Restart, end.Unused, end.Kept = n.Restart, s.cfg.Now().Sub(n.Unused), n.Kept
	}
	return end, keep
}

// act is the URL path of something to do with a server: hub/VERB/USER[/NAME].
func (s *Web) act(verb string, key ident.Key) string {
	path := s.hub + verb + "/" + key.User.String()
	if !key.Server.IsDefault() {
		path += "/" + key.Server.String()
	}
	return path
}

// failure puts the hint of a message ("hint: " on a line of its own) apart.
func failure(srv servers.Server) *failureView {
	if srv.State != servers.Failed || srv.Failure == nil {
		return nil
	}
	message, hint := splitHint(srv.Failure.Message)
	return &failureView{Message: message, Hint: hint, Lines: srv.Failure.Lines, Unit: srv.Key.Unit(),
		At: srv.Failure.At}
}

func splitHint(text string) (message, hint string) {
	message, hint, _ = strings.Cut(text, "\nhint: ")
	return message, hint
}

// prefix is the URL path of a server.
func (s *Web) prefix(key ident.Key) string { return s.cfg.BaseURL + key.Path()[1:] }

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

// capital begins a heading.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
