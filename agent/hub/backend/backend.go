// Package backend holds what the hub knows of the servers that something else runs for it: the types that cross the
// border between the hub and a backend, and the one way to dial a server. A backend is what starts servers, on this
// host or on others; package local is the one for this host. This package must never name a backend's means: no unit,
// no socket's path, no job.
package backend

import (
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// State is where a server is in its life, as the backend sees it.
type State string

// The states of a server. A backend that starts servers at once never says Queued. Stopped and Failed only occur in an
// Event: List leaves servers out that have ended.
const (
	Queued   State = "queued"   // accepted; it waits for resources and nothing runs yet
	Starting State = "starting" // it is being prepared
	Running  State = "running"  // its process runs, which may not answer HTTP yet
	Stopping State = "stopping"
	Stopped  State = "stopped" // it ended as it should
	Failed   State = "failed"  // it ended by itself with a failure
)

// Server is a server that the backend has accepted and that has not ended.
type Server struct {
	Key     ident.Key
	Profile string // name of the policy's profile it was started with
	State   State
	Address Address   // where it answers HTTP; the zero value until that is known
	Started time.Time // when it was asked for, or began where it was queued before; zero while that is not known
	// TokenHash is the lower-case hexadecimal SHA-256 of the server's JUPYTERHUB_API_TOKEN. The backend stores it, so
	// that a hub that has lost its database still knows the servers that run.
	TokenHash string
	Devices   []string  // qualified CDI names of the devices that it holds
	Where     string    // the host and job in which it runs, for people; "" on the hub's own host
	Reason    string    // why it is in its state, for people, such as what it waits for; "" when nothing explains it
	Ends      time.Time // when the backend will end it; zero for never
	Queue     Queue     // how it stands while it is Queued
}

// Queue is the position of a server in the backend's queue.
type Queue struct {
	Position int           // 1 is the next; 0 while that is not known
	Of       int           // how many wait for the same
	Since    time.Time     // when it joined the queue
	Estimate time.Duration // until its turn; 0 while it is not known
}

// Event is a server's new state. It carries all that List says of the server, so that nobody asks after an event.
type Event struct {
	Server
	Why Why // of Stopped and Failed
}

// Why is the reason of a server's end, for people.
type Why struct {
	Message string // what happened to what, such as "jupyter-alice.service ended with exit status 1"; "" when unknown
	Hint    string // the next step, such as a command that shows more; may be empty
}

// String returns the message, and the hint on a line of its own.
func (w Why) String() string { return hint.Join(w.Message, w.Hint) }

// StartRequest asks for one server. All else (image, mounts, limits, devices, arguments) comes from the backend's
// policy.
type StartRequest struct {
	Key     ident.Key
	Profile string // "" is the policy's default profile
	// Env is JupyterHub's contract with the single-user server: names that begin with JUPYTERHUB_, and JPY_API_TOKEN.
	// Backends refuse others, and values with control characters. No backend may show it to other accounts.
	Env map[string]string
	// WithoutGPUs asks for a server with none of the devices that the profile would lend.
	WithoutGPUs bool
}

// AllGPUs is Profile.GPUs of a profile that gets every device that is open to all, and none where there is none.
const AllGPUs = -1

// Profile is one of the policy's choices, as much of it as people are shown.
type Profile struct {
	Name        string
	DisplayName string
	Description string
	Image       string
	Default     bool
	GPUs        int32 // devices that a server of it holds; AllGPUs: all that are open to all
}

// Images reports which images servers run on and which ones profiles would start with. An ID is 64 hexadecimal
// digits.
type Images struct {
	Servers map[ident.Key]string // ID of the image that the server runs on; none for one with its own copy
	// ID of the image with which the profile would start now; none for one that is not in the store
	Profiles map[string]string
}

// Older reports whether a server runs on another image than the one with which its profile would start now, and
// whether that is known: not of a server with its own copy, nor of a profile whose image is not in the store. profile
// is what was asked for, "" the default one of profiles.
func (i Images) Older(key ident.Key, profile string, profiles []Profile) (older, known bool) {
	for _, p := range profiles {
		if profile == "" && p.Default {
			profile = p.Name
		}
	}
	runs, would := i.Servers[key], i.Profiles[profile]
	return runs != would, runs != "" && would != ""
}
