package web

import (
	"fmt"
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

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

func profileName(name string, profiles []backend.Profile) string {
	for _, p := range profiles {
		if p.Name == name || name == "" && p.Default {
			return displayName(p)
		}
	}
	return name
}

func displayName(p backend.Profile) string {
	if p.DisplayName != "" {
		return p.DisplayName
	}
	return p.Name
}

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

// choice is a profile in a form.
type choice struct {
	Name, Label, Description string
	Checked                  bool
}

// choices marks the wanted profile, or else the policy's default, or else the first.
func choices(profiles []backend.Profile, wanted string) []choice {
	all := make([]choice, len(profiles))
	checked := 0
	for i, p := range profiles {
		all[i] = choice{Name: p.Name, Label: displayName(p), Description: p.Description}
		if p.Default {
			checked = i
		}
	}
	for i, p := range profiles {
		if p.Name == wanted {
			checked = i
		}
	}
	if len(all) > 0 {
		all[checked].Checked = true
	}
	return all
}

// age rounds a time that has passed, for people.
func age(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}}
	for _, u := range units {
		switch n := int(d / u.size); {
		case n == 1:
			return "1 " + u.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "less than a minute"
}

// span writes a time that has passed to the minute, unless it is of days.
func span(d time.Duration) string {
	d = d.Truncate(time.Minute)
	if hours := d.Truncate(time.Hour); hours > 0 && hours < d && d < 24*time.Hour {
		return age(hours) + " " + age(d-hours)
	}
	return age(d)
}

// escapes are the terminal's control sequences (ECMA-48), which programs print in
// colour and which mean nothing on a page.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// clock writes a time to come for people: the hour alone on the same day, in the zone of
// the host, which is where its people are.
func clock(at, now time.Time) string {
	at, now = at.Local(), now.Local()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04")
	}
	return at.Format("15:04 on 2 January")
}

// cleanLine takes control characters out of a journal line, and those that turn the
// direction of writing, with which a line could pose as another.
func cleanLine(line string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) {
			return -1
		}
		return c
	}, escapes.ReplaceAllString(line, ""))
}

// contactLink makes a link of an address, and leaves other words as they are.
func contactLink(contact string) template.HTML {
	if contact == "" {
		return "the administrators of this hub"
	}
	target := ""
	if a, err := mail.ParseAddress(contact); err == nil && a.Address == contact {
		target = "mailto:" + contact
	} else if u, err := url.Parse(contact); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		target = contact
	}
	text := template.HTMLEscapeString(contact)
	if target == "" {
		return template.HTML(text)
	}
	//nolint:gosec // both parts are escaped
	return template.HTML(`<a href="` + template.HTMLEscapeString(target) + `">` + text + `</a>`)
}

// title names an HTTP status in words for people.
func title(status int) string {
	switch status {
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusNotFound:
		return "Not found"
	case http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return "The hub cannot take this request"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "No answer"
	case http.StatusTooManyRequests:
		return "Too much at once"
	}
	if text := http.StatusText(status); text != "" && status < http.StatusInternalServerError {
		return text
	}
	return "Something went wrong"
}
