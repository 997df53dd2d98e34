// Package unit turns a member, a profile and the policy into the transient systemd unit
// that runs the member's notebook: its name, properties and podman's arguments. It is
// pure: the same input gives the same unit, which golden files show. It must never look
// at the host, take a value from the hub, or put a secret into a property or argument.
package unit

import (
	"path"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// Where things are on a host (ARCHITECTURE.md).
const (
	RunDir   = "/run/gifford-launcher"
	StateDir = "/var/lib/gifford-launcher"
	Podman   = "/usr/bin/podman"
	Helper   = "/usr/libexec/gifford-hub/gifford-container"
	Slice    = "jupyter.slice"
)

// Inside the container.
const (
	socketDir  = "/run/jupyter"
	socketName = "nb.sock"
	// ServiceURL's port is never listened on: the server takes its path from the URL and
	// listens on the socket (reference: jupyterhub.md 1.9).
	servicePort = "8888"
)

// Names of the unit's environment variables that Metadata reads back. None is secret.
const (
	envProfile   = "GIFFORD_PROFILE"
	envTokenHash = "GIFFORD_TOKEN_SHA256"
	envUID       = "GIFFORD_UID"
	envContainer = "GIFFORD_CONTAINER"
	envDevices   = "GIFFORD_DEVICES"
	envNodes     = "GIFFORD_DEVICE_NODES"
)

// Variables by which gifford-view tells the unit's commands what image to run.
const (
	EnvImage = "GIFFORD_RUN_IMAGE"  // an ID of the shared store, or the profile's image by its name
	EnvSlow  = "GIFFORD_NOT_SHARED" // why it is no shared image; "" when it is
)

// Input is all that a unit is made of. Every field is required but where said.
type Input struct {
	Key       ident.Key
	UID, GID  uint32 // of the account
	Profile   policy.Profile
	Policy    *policy.Policy
	Mounts    []policy.Mount // those of the policy that this member gets with this profile
	Devices   []Device       // those that are lent to it, if any
	Podman    Version
	TokenHash string // SHA-256 of the server's token; "" when the hub gave none
	// WithoutGPUs says that the server shall have none, whatever the profile asks for.
	WithoutGPUs bool
}

// Device is a device of a CDI specification that a server holds.
type Device struct {
	Name  string   // qualified CDI name
	Nodes []string // its device nodes on the host, by which it is known when it gets another name
}

// Property is one of the unit's properties as systemd's D-Bus interface names it. Value
// is a string, bool, int32, uint32, uint64, []string, []Command, []Credential,
// []EnvironmentFile or ExitStatuses.
type Property struct {
	Name  string
	Value any
}

// Command is one entry of an Exec property, D-Bus type (sasb). systemd 252 writes the
// properties that end in "Ex" into the unit's file under that name, and cannot read it at
// the next daemon-reload. '$' stands for itself
// only when doubled; '%' stands for itself.
type Command struct {
	Path          string
	Args          []string // Args[0] is the path again
	IgnoreFailure bool
}

// Credential is one entry of LoadCredential, D-Bus type (ss).
type Credential struct{ Name, Path string }

// EnvironmentFile is one entry of EnvironmentFiles, D-Bus type (sb).
type EnvironmentFile struct {
	Path     string
	Optional bool
}

// ExitStatuses is SuccessExitStatus, D-Bus type (aiai).
type ExitStatuses struct{ Codes, Signals []int32 }

// Spec is a unit to start.
type Spec struct {
	Name       string
	Properties []Property
}

// Build makes the unit of one server.
func Build(in Input) Spec {
	return Spec{Name: in.Key.Unit(), Properties: append(in.service(), in.limits()...)}
}

func (in Input) service() []Property {
	p := in.Profile
	return append([]Property{
		{"Description", "Jupyter server of " + in.Key.String() + " (profile " + p.Name + ")"},
		// Root's part, before the first command of this unit and after the last.
		{"Requires", []string{ViewUnit(in.Key)}},
		{"After", []string{ViewUnit(in.Key)}},
		{"OnSuccess", []string{UnviewUnit(in.Key)}},
		{"OnFailure", []string{UnviewUnit(in.Key)}},
		{"Slice", Slice},
		{"User", in.Key.User.String()},
		{"Type", "notify"},
		// conmon, which podman leaves behind, says that the container runs, and is the main process.
		{"NotifyAccess", "all"},
		{"Delegate", true},
		// Podman ends the container; what is left after that is killed.
		{"KillMode", "mixed"},
		// One process killed for memory, such as a kernel, must not end the server.
		{"OOMPolicy", "continue"},
		// A server that ends on SIGTERM because it was stopped has not failed.
		{"SuccessExitStatus", ExitStatuses{[]int32{128 + 15}, []int32{}}},
		{"UMask", in.Policy.Host.UMask},
		{"WorkingDirectory", UserDir(in.Key.User)},
		{"LoadCredential", []Credential{{"env", CredentialPath(in.Key)}}},
		{"Environment", in.environment(path.Join(ViewDir(in.Key), "storage.conf"))},
		// Read again for each command; gifford-view writes it.
		{"EnvironmentFiles", []EnvironmentFile{{ViewDir(in.Key) + "/image.env", true}}},
		{"SyslogIdentifier", "jupyter-" + in.Key.User.String()},
		{"TimeoutStartUSec", micros(p.StartTimeout)},
		// Podman's own time-out ends first and says so.
		{"TimeoutStopUSec", micros(p.StopTimeout + 10*time.Second)},
	}, in.commands()...)
}

func (in Input) commands() []Property {
	name := in.containerName()
	props := []Property{
		{"ExecStartPre", []Command{command(in.prepare()...)}},
		{"ExecStart", []Command{command(in.run()...)}},
		{"ExecStop", []Command{command(Podman, "stop", "--ignore", "--time="+seconds(in.Profile.StopTimeout), name)}},
		{"ExecStopPost", []Command{command(in.afterEnd()...)}},
	}
	if !in.Podman.hasPasta() {
		props = append(props, Property{"ExecStartPost", []Command{command(Helper, "network",
			"--pidfile", in.pidFile(), "--port", in.apiPort())}})
	}
	return props
}

func (in Input) limits() []Property {
	p := in.Profile
	return []Property{
		{"MemoryMax", p.MemoryMax},
		{"MemoryHigh", p.MemoryHigh},
		{"CPUQuotaPerSecUSec", p.CPUQuota},
		{"TasksMax", p.TasksMax},
	}
}

// environment is podman's. HOME is local, so that podman never touches the network home.
func (in Input) environment(storageConf string) []string {
	uid := strconv.FormatUint(uint64(in.UID), 10)
	env := []string{
		"HOME=" + UserDir(in.Key.User),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"XDG_RUNTIME_DIR=/run/user/" + uid,
		"CONTAINERS_STORAGE_CONF=" + storageConf,
		envUID + "=" + uid,
		envProfile + "=" + in.Profile.Name,
		envContainer + "=" + in.containerName(),
		envTokenHash + "=" + in.TokenHash,
	}
	env = append(env, deviceVariables(in.Devices)...)
	if !in.Podman.hasPasta() {
		// Podman 4.3 leaves the unit's cgroup for a scope of the user's manager where it sees
		// cgroup v1 controllers. Without a bus it can't.
		env = append(env, "DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null")
	}
	return env
}

func command(args ...string) Command { return Command{Path: args[0], Args: args} }

func micros(d time.Duration) uint64 { return uint64(d / time.Microsecond) }

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// UserDir is the HOME of the user's podman, with the container storage below it.
func UserDir(u ident.User) string { return path.Join(StateDir, "users", u.String()) }

// ViewUnit is the package's unit that makes the server's view of the images; it runs again
// for each start. UnviewUnit takes the view away.
func ViewUnit(k ident.Key) string   { return "gifford-view@" + k.String() + ".service" }
func UnviewUnit(k ident.Key) string { return "gifford-unview@" + k.String() + ".service" }

// ViewRequestName is where the launcher leaves the ViewRequest of a server below RunDir.
func ViewRequestName(k ident.Key) string { return path.Join("requests", k.Unit()+".json") }

// ViewRequest is what gifford-view is told of a server.
type ViewRequest struct {
	UID     uint32         `json:"uid"` // of the member
	GID     uint32         `json:"gid"`
	Mapping policy.Mapping `json:"mapping"`
	Image   string         `json:"image"` // as the profile names it
	Share   bool           `json:"share"` // false: the policy wants every member to have a copy
	// Keep is the profile for which the server's container is kept: it goes on with the
	// image that it was made from. "" for a container that ends with its unit.
	Keep string `json:"keep,omitempty"`
}

// View returns the request for the input's server.
func (in Input) View() ViewRequest {
	r := ViewRequest{UID: in.UID, GID: in.GID, Mapping: in.Profile.UserMapping, Image: in.Profile.Image,
		Share: in.Policy.Images.Share}
	if in.Profile.Persistent {
		r.Keep = in.Profile.Name
	}
	return r
}

// ViewParts names the directory of the server's view of the images below RunDir.
func ViewParts(k ident.Key) string {
	parts := SocketDirParts(k)
	return path.Join("views", parts[1], parts[2])
}

// ViewDir is the directory of the server's view of the images: what gifford-view makes.
func ViewDir(k ident.Key) string { return path.Join(RunDir, ViewParts(k)) }

// StorageConf is the root-owned settings of the user's container storage, for commands
// that need no image.
func StorageConf(u ident.User) string { return path.Join(RunDir, "users", u.String(), "storage.conf") }

// RunRoot is where the user's container storage keeps what need not outlive a boot.
func RunRoot(uid uint32) string {
	return "/run/user/" + strconv.FormatUint(uint64(uid), 10) + "/gifford-hub"
}

// SocketDirParts names the directory of the server's socket below RunDir: "servers", the
// user, and the server or "_" for the default one (no server can be named so).
func SocketDirParts(k ident.Key) [3]string {
	server := k.Server.String()
	if k.Server.IsDefault() {
		server = "_"
	}
	return [3]string{"servers", k.User.String(), server}
}

// SocketPath is the server's UNIX socket on the host: at most 101 bytes of sun_path's 107.
func SocketPath(k ident.Key) string { return path.Join(SocketDir(k), socketName) }

// SocketDir is the directory that is mounted at /run/jupyter.
func SocketDir(k ident.Key) string {
	parts := SocketDirParts(k)
	return path.Join(RunDir, parts[0], parts[1], parts[2])
}

// CredentialName is the name of the server's environment file below RunDir/credentials.
func CredentialName(k ident.Key) string { return k.Unit() + ".env" }

// CredentialPath is where the launcher leaves the server's environment for systemd.
func CredentialPath(k ident.Key) string { return path.Join(RunDir, "credentials", CredentialName(k)) }

// ContainerName is the container's name in the user's own container storage, where it
// must be unique and podman allows no colon: "jupyter-alice", "jupyter-alice--gpu". Two
// users' containers may have the same name, two of one user can't: the user is the same
// and only a named server adds "--".
func ContainerName(k ident.Key) string {
	if k.Server.IsDefault() {
		return "jupyter-" + k.User.String()
	}
	return "jupyter-" + k.User.String() + "--" + k.Server.String()
}
