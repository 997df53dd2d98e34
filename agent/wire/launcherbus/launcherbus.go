// Package launcherbus is the D-Bus interface between the hub and the launcher:
// the types that cross it and the client. It is all that the two programs share,
// so it must never import the launcher, systemd or anything of the web.
package launcherbus

import (
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Where the launcher is on the system bus.
const (
	BusName    = "org.giffordlab.Launcher1"
	ObjectPath = "/org/giffordlab/Launcher1"
	Interface  = "org.giffordlab.Launcher1"
)

// State is what systemd says of a server's unit, in our words.
type State string

// The states of a unit. Stopped and Failed are only seen in an Event: List leaves
// units out that have ended.
const (
	Starting State = "starting"
	Running  State = "running"
	Stopping State = "stopping"
	Stopped  State = "stopped"
	Failed   State = "failed"
)

// Server is a unit that exists.
type Server struct {
	Key     ident.Key
	Profile string // name of the policy's profile it was started with
	State   State
	UID     uint32    // Unix uid of the owner
	Socket  string    // path of the UNIX socket on the host on which the server answers HTTP
	Started time.Time // when the unit began to start; zero before that
	// TokenHash is the lower-case hexadecimal SHA-256 of the server's
	// JUPYTERHUB_API_TOKEN. It stands in the unit so that a hub that has lost its
	// database still knows the servers that run.
	TokenHash string
	// Devices are the qualified CDI names of the devices that it holds.
	Devices []string
}

// Event is a new state of a unit. It carries all that List says of the server, so nobody needs to ask after an event.
type Event struct {
	Server
	// systemd's Result property when State is Failed ("exit-code", "timeout", "oom-kill" …; systemd.service(5)), else ""
	Result string
	Exit   int32 // exit status or signal of the main process when State is Failed
}

// StartRequest asks for one server. All else (image, mounts, limits, devices,
// arguments) comes from the launcher's policy.
type StartRequest struct {
	Key     ident.Key
	Profile string // "" is the policy's default profile
	// Env is JupyterHub's contract with the single-user server: names that begin with
	// JUPYTERHUB_, and JPY_API_TOKEN; the launcher refuses others, and values with
	// control characters. It reaches the container through a credential, never
	// through the unit's Environment or a command line.
	Env map[string]string
	// WithoutGPUs asks for a server with none of the devices that the profile would lend.
	WithoutGPUs bool
}

// Profile is one of the policy's choices, as much of it as people are shown.
type Profile struct {
	Name        string
	DisplayName string
	Description string
	Image       string
	Default     bool
	GPUs        int32 // devices that a server of it holds; AllGPUs: all that are open to all
}

// Images reports which images of the shared store are in use and which would be. An ID is
// 64 hexadecimal digits.
type Images struct {
	Servers map[ident.Key]string // ID of the image that the server runs on; none for one with its own copy
	// ID of the image with which the profile would start now; none for one that is not in the store
	Profiles map[string]string
}

// Kept is the container of a persistent profile that waits for its server's next start.
type Kept struct {
	Key     ident.Key
	Profile string
	// Outdated says that the profile's settings have changed since the container was made;
	// they count after a reset. It is true for a profile that the policy no longer has.
	Outdated bool
}

// Usage is what a member's files took when they were last measured.
type Usage struct {
	Measuring bool      // one measuring is under way
	Measured  time.Time // zero: never
	Storage   Tree      // the private container storage: changes in containers, and images that are the member's own
	Home      Tree
	HomePath  string
}

// Tree is one directory with all below it on the same file system. The numbers come from a
// program that runs as the member, so they are as true as the member lets them be.
type Tree struct {
	Bytes  int64 // of blocks, each file once
	Files  int64 // files and directories
	Unread int64 // of them that could not be looked at
}

// Code says which rule an Error comes from; its text is the last part of the
// D-Bus error name.
type Code string

// The ways in which a request can be refused or fail.
const (
	Refused        Code = "Refused"        // the policy or the request's form forbids it
	NoAccount      Code = "NoAccount"      // no Unix account of that name
	NoSubIDs       Code = "NoSubIDs"       // no subordinate ids, and none can be given
	HomeNotCovered Code = "HomeNotCovered" // the home directory is not as the policy demands
	MountRefused   Code = "MountRefused"   // the source of one of the policy's mounts is missing or cannot be trusted
	AlreadyExists  Code = "AlreadyExists"  // the unit exists
	NotFound       Code = "NotFound"       // no such unit or profile
	// the devices that the profile needs are held by others now; a later request may succeed
	DevicesTaken Code = "DevicesTaken"
	// this host has too few devices of the kind that the profile needs, whoever holds them
	DevicesMissing Code = "DevicesMissing"
	StartFailed    Code = "StartFailed" // systemd could not start the unit; its journal says why
	Internal       Code = "Internal"    // anything else; the launcher's journal says why
)

// Error is a refusal or failure in words for people. The message names the object
// and the reason, and the next step after "hint: " on a line of its own where there is one.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }
