// Package control is the operator's way to a running hub: HTTP over the UNIX socket
// /run/gifford-hub/control.sock, which only root may open. It holds the types that cross
// it and the client; the hub serves the routes. It must never be reachable over a network.
package control

import (
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// DefaultSocket is where gifford-hub-control.socket listens.
const DefaultSocket = "/run/gifford-hub/control.sock"

// The routes. Requests and answers are JSON. A refused or failed request answers with a
// status of 400 or above and a Failure.
const (
	ServersPath = "/servers"       // GET: []Server
	StartPath   = "/servers/start" // POST StartRequest: a stream of Progress, one JSON value a line
	StopPath    = "/servers/stop"  // POST StopRequest: 204 when the unit is gone
	ShellPath   = "/servers/shell" // POST Shell: 204 when the hub has logged it
	ResetPath   = "/servers/reset" // POST ResetRequest: 204 when the persistent container is gone
	ReloadPath  = "/reload"        // POST: 204 when the new process serves
	StatusPath  = "/status"        // GET: Status
	BackupPath  = "/backup"        // GET: the database, a consistent copy
	DiskPath    = "/disk"          // GET: Disk; POST DiskRequest: DiskUser, when it is measured
	UsagePath   = "/usage"         // GET ?month=2026-11&user=alice, each optional: []Usage
	GPUsPath    = "/gpus"          // GET: GPUs
	TokenPath   = "/token"         // POST TokenRequest: TokenAnswer

	IdentitiesPath = "/identities"        // GET: []Identity
	ForgetPath     = "/identities/forget" // POST ForgetRequest: 204
)

// Server is one server that is not stopped.
type Server struct {
	User         ident.User   `json:"user"`
	Server       ident.Server `json:"server"` // "" for the default server
	State        string       `json:"state"`  // as in agent/hub/servers: "starting", "running", …
	Profile      string       `json:"profile"`
	Since        time.Time    `json:"since"` // when State was entered
	URL          string       `json:"url"`   // absolute
	Unit         string       `json:"unit"`
	LastActivity time.Time    `json:"last_activity,omitzero"`
	// "current", or "older" than the one of its profile; "" when that is not known
	Image string `json:"image,omitempty"`
	// Outdated says that the settings of its profile have changed since its persistent
	// container was made.
	Outdated bool `json:"outdated,omitempty"`
}

// StartRequest asks for a server.
type StartRequest struct {
	User    ident.User   `json:"user"`
	Server  ident.Server `json:"server"`
	Profile string       `json:"profile,omitempty"` // "" is the policy's default profile
	// WithoutGPUs asks for none of the devices that the profile would get.
	WithoutGPUs bool `json:"without_gpus,omitempty"`
}

// StopRequest ends a server.
type StopRequest struct {
	User   ident.User   `json:"user"`
	Server ident.Server `json:"server"`
}

// Shell is a record of an administrator's shell in a running server for the hub's log, sent before it begins and again
// when it has ended.
type Shell struct {
	User    ident.User   `json:"user"`
	Server  ident.Server `json:"server"`
	Root    bool         `json:"root"`
	Who     string       `json:"who"`               // the administrator
	Command []string     `json:"command,omitempty"` // empty: a shell
	Ended   bool         `json:"ended,omitempty"`
	Status  int          `json:"status,omitempty"` // exit status, when Ended
}

// ResetRequest removes the persistent container of a server.
type ResetRequest struct {
	User   ident.User   `json:"user"`
	Server ident.Server `json:"server"`
	Stop   bool         `json:"stop,omitempty"` // stop it first if it runs
}

// Progress is one step of a start, in the form of JupyterHub's progress stream. The last
// one has Ready or Failed set.
type Progress struct {
	Progress int    `json:"progress"` // per cent
	Message  string `json:"message"`
	Failed   bool   `json:"failed,omitempty"`
	Ready    bool   `json:"ready,omitempty"`
	Hint     string `json:"hint,omitempty"` // what to do next when Failed
}

// Status is the hub's state.
type Status struct {
	Version   string     `json:"version"`
	PID       int        `json:"pid"`
	Servers   int        `json:"servers"` // that are not stopped
	Listeners []Listener `json:"listeners"`
	Uptime    float64    `json:"uptime"`   // seconds
	Draining  int        `json:"draining"` // older processes that still serve open WebSockets
}

// Listener is an address that the hub accepts connections on.
type Listener struct {
	Name    string `json:"name"`    // as in FileDescriptorName=: "public", "api", "control"
	Address string `json:"address"` // "0.0.0.0:443" or a path
}

// TokenRequest asks for an API token of a user.
type TokenRequest struct {
	User    ident.User `json:"user"`
	Note    string     `json:"note"`
	Seconds *int64     `json:"seconds"` // how long it lives; nil: the settings' default
	Scopes  []string   `json:"scopes"`  // nil: all that the user may do
}

// TokenAnswer is the token, which is shown once.
type TokenAnswer struct {
	Token string `json:"token"`
	ID    string `json:"id"`
}
