package launcherbus

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// State is what systemd says of a server's unit, in our words.
type State string

// The states of a unit. Stopped and Failed are only seen in an Event: List and Get leave units out that have ended.
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
	// TokenHash is the lower-case hexadecimal SHA-256 of the server's JUPYTERHUB_API_TOKEN. It is in the unit so
	// that a hub that has lost its database still knows the servers that run.
	TokenHash string
	// Devices are the qualified CDI names of the devices that it holds.
	Devices []string
}

// ServerRow is a Server on the bus, D-Bus type (ssssustsas).
type ServerRow struct {
	User, Server, Profile, State string
	UID                          uint32
	Socket                       string
	Started                      uint64 // microseconds since 1970; 0 before the unit began to start
	TokenHash                    string
	Devices                      []string
}

// Row returns the form in which s crosses the bus.
func (s Server) Row() ServerRow {
	return ServerRow{s.Key.User.String(), s.Key.Server.String(), s.Profile, string(s.State), s.UID, s.Socket,
		micros(s.Started), s.TokenHash, s.Devices}
}

func (r ServerRow) server() (Server, error) {
	key, err := ident.ParseKey(r.User, r.Server)
	return Server{key, r.Profile, State(r.State), r.UID, r.Socket, TimeOf(r.Started), r.TokenHash, r.Devices}, err
}

// micros is a time on the bus: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(0, t.UnixMicro()))
}

// TimeOf is the time that stands on the bus: microseconds since 1970, 0 for the zero time.
func TimeOf(micros uint64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(micros))
}

// StartRequest asks for one server. All else (image, mounts, limits, devices, arguments) comes from the launcher's
// policy.
type StartRequest struct {
	Key     ident.Key
	Profile string // "" is the policy's default profile
	// Env is JupyterHub's contract with the single-user server: names that begin with JUPYTERHUB_, and JPY_API_TOKEN;
	// the launcher refuses others, and values with control characters. It reaches the container through a credential,
	// never through the unit's Environment or a command line.
	Env map[string]string
	// WithoutGPUs asks for a server with none of the devices that the profile would lend.
	WithoutGPUs bool
}

// Start starts a server and returns when its unit is active or has failed: up to the profile's image_timeout and
// start_timeout. Errors of the launcher are *Error.
func (c *Client) Start(ctx context.Context, r StartRequest) error {
	env := r.Env
	if env == nil {
		env = map[string]string{}
	}
	return c.call(ctx, "Start", nil, r.Key.User.String(), r.Key.Server.String(), r.Profile, r.WithoutGPUs, env)
}

// Stop stops a server and returns when its unit has ended. A server that does not run is an *Error with code NotFound.
func (c *Client) Stop(ctx context.Context, key ident.Key) error {
	return c.call(ctx, "Stop", nil, key.User.String(), key.Server.String())
}

// Reset removes the persistent containers of a stopped server. A server without one is an *Error with code NotFound,
// one whose unit exists an *Error with code AlreadyExists.
func (c *Client) Reset(ctx context.Context, key ident.Key) error {
	return c.call(ctx, "Reset", nil, key.User.String(), key.Server.String())
}

// Get returns one server. One whose unit does not exist, or has ended, is an *Error with code NotFound.
func (c *Client) Get(ctx context.Context, key ident.Key) (Server, error) {
	s, err := read(ctx, c, "Get", ServerRow.server, key.User.String(), key.Server.String())
	if unknownMethod(err) {
		return c.olderGet(ctx, key)
	}
	return s, err
}

// List returns the servers whose units exist and have not ended.
func (c *Client) List(ctx context.Context) ([]Server, error) {
	return read(ctx, c, "List", each(ServerRow.server))
}
