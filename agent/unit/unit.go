// Package unit says what a member's server is to systemd: from the user, the profile and
// the policy it makes the unit's properties and Podman's command line. It is pure, so that
// golden files show all that will ever run; it must never look at the host.
//
// That rootless Podman works in a system unit with User= rests on a few conditions, which
// Podman's maintainers do not promise (containers/podman #12778, #14106, #26671): a
// runtime folder (lingering), Delegate=yes with --cgroups=split, and readiness and main
// PID by notification from conmon. Each has an end-to-end test.
package unit

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// Slice holds all servers, so that an administrator can limit them together.
const Slice = "jupyter.slice"

// Programs that the unit runs, all as the member.
const (
	podman    = "/usr/bin/podman"
	container = "/usr/libexec/gifford-hub/gifford-container"
)

// Names that the launcher reads back from a unit's environment; none is secret.
const (
	EnvProfile   = "GIFFORD_PROFILE"
	EnvTokenHash = "GIFFORD_TOKEN_SHA256"
	EnvSocket    = "GIFFORD_SOCKET"
)

// socketName is the server's socket in its folder, and inside in mountedAt.
const (
	socketName = "nb.sock"
	mountedAt  = "/run/jupyter"
)

// Podman is the version of the host's Podman.
type Podman struct{ Major, Minor int }

// nativePasta tells whether Podman can make a network through pasta by itself (4.4).
func (p Podman) nativePasta() bool { return p.Major > 4 || p.Major == 4 && p.Minor >= 4 }

// Request is everything that a unit is made from.
type Request struct {
	Key         ident.Key
	UID         uint32
	Home        string // the member's home on the host and in the container
	ProfileName string
	Profile     *policy.Profile
	Host        policy.Host
	Mounts      []policy.Mount
	SubIDs      policy.SubIDs
	Podman      Podman
	TokenHash   string // SHA-256 of the server's token, in hexadecimal
	StateDir    string // the member's own folder on local disk: Podman's HOME and storage
	StorageConf string // path of the member's storage.conf
	SocketDir   string // host folder of the server's socket
	EnvFile     string // host path of the credential with the environment
}

// Property is one property of a transient unit. Its value has the Go type that godbus
// encodes as the property's D-Bus type (org.freedesktop.systemd1(5)).
type Property struct {
	Name  string
	Value any
}

// Exec is one command of an Exec*= property: a(sasb).
type Exec struct {
	Path          string
	Args          []string // with the program's name first
	IgnoreFailure bool
}

// Credential is one entry of LoadCredential: a(ss).
type Credential struct{ ID, Path string }

// Socket gives the server's socket on the host.
func (r Request) Socket() string { return path.Join(r.SocketDir, socketName) }

// ContainerName gives the container's name. A colon cannot stand in one; no two servers
// of a user share a name, and every user has a store of their own.
func (r Request) ContainerName() string {
	if r.Key.Server.IsDefault() {
		return "jupyter-" + r.Key.User.String()
	}
	return "jupyter-" + r.Key.User.String() + "--" + r.Key.Server.String()
}

func (r Request) pidFile() string {
	return fmt.Sprintf("/run/user/%d/%s.pid", r.UID, r.ContainerName())
}

// Properties gives the unit's properties.
func (r Request) Properties() []Property {
	stop := time.Duration(r.Profile.StopTimeout)
	ps := []Property{
		{"Description", "Jupyter server of " + r.Key.String()},
		{"Slice", Slice},
		{"User", r.Key.User.String()},
		{"Type", "notify"},
		{"NotifyAccess", "all"}, // conmon, not the podman that systemd started, says that it is ready
		{"Delegate", true},
		{"KillMode", "mixed"},
		{"IgnoreSIGPIPE", false},  // pasta of Debian 12 refuses to run otherwise
		{"OOMPolicy", "continue"}, // a kernel that runs out of memory must not take the server along
		{"TimeoutStartUSec", usec(time.Duration(r.Profile.StartTimeout))},
		{"TimeoutStopUSec", usec(stop + 10*time.Second)},
		{"WorkingDirectory", r.StateDir},
		{"SyslogIdentifier", strings.TrimSuffix(r.Key.Unit(), ".service")},
		{"LoadCredential", []Credential{{"env", r.EnvFile}}},
		{"Environment", r.environment()},
		{"ExecStartPre", []Exec{r.prepare()}},
		{"ExecStart", []Exec{{podman, r.run(), false}}},
		{"ExecStop", []Exec{{podman, []string{"podman", "stop", "--ignore", "--time", strconv.Itoa(int(stop.Seconds())), r.ContainerName()}, true}}},
		{"ExecStopPost", []Exec{{podman, []string{"podman", "rm", "--force", "--ignore", "--time", "0", r.ContainerName()}, true}}},
	}
	if !r.Podman.nativePasta() {
		ps = append(ps, Property{"ExecStartPost", []Exec{r.attach()}})
	}
	return append(ps, r.limits()...)
}

func usec(d time.Duration) uint64 { return uint64(d.Microseconds()) }

// limits gives what the policy sets of systemd.resource-control(5).
func (r Request) limits() []Property {
	var ps []Property
	if v := uint64(r.Profile.MemoryMax); v != 0 {
		ps = append(ps, Property{"MemoryMax", v})
	}
	if v := uint64(r.Profile.MemoryHigh); v != 0 {
		ps = append(ps, Property{"MemoryHigh", v})
	}
	if v := uint64(r.Profile.CPUQuota); v != 0 {
		ps = append(ps, Property{"CPUQuotaPerSecUSec", v * 10000}) // a hundredth of a second is 10,000 µs
	}
	if v := r.Profile.TasksMax; v != 0 {
		ps = append(ps, Property{"TasksMax", v})
	}
	if r.Host.UMask != "" {
		mask, _ := strconv.ParseUint(r.Host.UMask, 8, 32) // the policy has checked it
		ps = append(ps, Property{"UMask", uint32(mask)})
	}
	return ps
}

// environment is the unit's own: for Podman, not for the container. Anybody on the host
// can read it, so it holds no secret.
func (r Request) environment() []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + r.StateDir, // Podman's state must not touch a home on a network file system
		fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", r.UID),
		"CONTAINERS_STORAGE_CONF=" + r.StorageConf,
		EnvProfile + "=" + r.ProfileName,
		EnvTokenHash + "=" + r.TokenHash,
		EnvSocket + "=" + r.Socket(),
	}
	if !r.Podman.nativePasta() {
		// Podman 4.3 would ask the user's systemd for a scope and leave the unit's cgroup, and
		// with it the unit's limits, in spite of --cgroups=split.
		env = append(env, "DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null")
	}
	return env
}

// prepare is run before Podman: it loads or pulls the image.
func (r Request) prepare() Exec {
	args := []string{"gifford-container", "prepare", "--image", r.Profile.Image, "--pull", r.Profile.Pull, "--socket", r.Socket()}
	if r.Profile.Archive != "" {
		args = append(args, "--archive", r.Profile.Archive)
	}
	if r.Profile.NotebookDir != "" {
		args = append(args, "--mkdir", r.notebookDir())
	}
	return Exec{container, escape(args), false}
}

// attach is run after Podman where it cannot make the network by itself.
func (r Request) attach() Exec {
	return Exec{container, []string{"gifford-container", "network", "--pidfile", r.pidFile(), "--port", strconv.Itoa(r.Host.HubAPIPort)}, false}
}

func (r Request) notebookDir() string {
	if path.IsAbs(r.Profile.NotebookDir) {
		return r.Profile.NotebookDir
	}
	return path.Join(r.Home, r.Profile.NotebookDir)
}

// run is the command line of podman run.
func (r Request) run() []string {
	args := []string{"podman", "run", "--rm", "--replace", "--name", r.ContainerName(),
		"--sdnotify=conmon", "--cgroups=split",
		"--log-driver=passthrough", // the default driver would write each line to the journal twice
		"--pull=never",             // prepare has seen to the image
		"--hostname", hostname(r.Key),
		"--userns=" + r.userns(), "--group-add", "keep-groups",
		"--security-opt", "label=disable", // files of a shared file system cannot be relabelled for one container
	}
	args = append(args, r.network()...)
	if !*r.Profile.AllowSudo {
		args = append(args, "--security-opt", "no-new-privileges")
	}
	args = append(args, r.mounts()...)
	args = escape(append(args, "--workdir", r.Home))
	// The only variable that systemd is to expand: the folder of the unit's credentials.
	args = append(args, "--env-file", "${CREDENTIALS_DIRECTORY}/env", escape([]string{r.Profile.Image})[0])
	return append(args, escape(r.command())...)
}

// hostname gives the container a name that its prompt can show.
func hostname(k ident.Key) string {
	name := strings.NewReplacer("_", "-", ".", "-", ":", "-").Replace(k.String())
	return "jupyter-" + strings.Trim(name, "-")
}

func (r Request) userns() string {
	if r.Profile.UserMapping == "host" {
		return "keep-id"
	}
	return "keep-id:uid=1000,gid=100"
}

// network gives the container a network of its own whose loopback port HubAPIPort is the
// host's, and no other port of the host's loopback.
func (r Request) network() []string {
	if r.Podman.nativePasta() {
		return []string{"--network=pasta:-T," + strconv.Itoa(r.Host.HubAPIPort)}
	}
	return []string{"--network=none", "--pidfile", r.pidFile(), "--mount", bind("/etc/resolv.conf", "/etc/resolv.conf", true)}
}

// mounts are the folders of the host that the container sees. --mount and not -v: a colon
// may stand in a path.
func (r Request) mounts() []string {
	var args []string
	add := func(source, target string, readOnly bool) {
		args = append(args, "--mount", bind(source, target, readOnly))
	}
	if r.Host.Cluster != "" {
		add(r.Host.Cluster, r.Host.Cluster, true)
	}
	add(r.Home, r.Home, false)
	for _, m := range r.Mounts {
		add(m.Source, m.Target, !m.Writable)
	}
	add(r.SocketDir, mountedAt, false)
	return args
}

func bind(source, target string, readOnly bool) string {
	option := "type=bind,src=" + source + ",dst=" + target
	if readOnly {
		option += ",ro"
	}
	return option
}

// command is what runs in the container. The server listens on its socket and nowhere
// else; the group may connect, which is the hub's by the folder's set-group-id bit.
func (r Request) command() []string {
	args := slices.Concat(*r.Profile.Command, r.Profile.Args)
	return append(args, "--ServerApp.sock="+path.Join(mountedAt, socketName), "--ServerApp.sock_mode=0660")
}

// escape doubles what systemd would expand as a variable in a command line
// (systemd.service(5), Command Lines).
func escape(args []string) []string {
	escaped := make([]string, len(args))
	for i, a := range args {
		escaped[i] = strings.ReplaceAll(a, "$", "$$")
	}
	return escaped
}

// Env gives the container's environment as lines of podman's --env-file: the hub's part
// and what only the launcher knows.
func (r Request) Env(hub map[string]string) string {
	env := map[string]string{}
	for name, value := range r.Profile.Env {
		env[name] = value
	}
	for name, value := range hub {
		env[name] = value
	}
	env["HOME"] = r.Home
	env["JUPYTER_IMAGE_SPEC"] = r.Profile.Image
	// The address is never listened on; servers take their URL prefix from it, and refuse
	// a socket together with a port other than this.
	env["JUPYTERHUB_SERVICE_URL"] = "http://127.0.0.1:8888" + hub["JUPYTERHUB_SERVICE_PREFIX"]
	if r.Profile.NotebookDir != "" {
		env["JUPYTERHUB_ROOT_DIR"] = r.notebookDir()
	}
	if r.Profile.DefaultURL != "" {
		env["JUPYTERHUB_DEFAULT_URL"] = r.Profile.DefaultURL
	}
	if v := uint64(r.Profile.MemoryMax); v != 0 && v != math.MaxUint64 {
		env["MEM_LIMIT"] = strconv.FormatUint(v, 10)
	}
	if v := uint64(r.Profile.CPUQuota); v != 0 {
		env["CPU_LIMIT"] = strconv.FormatFloat(float64(v)/100, 'f', -1, 64)
	}
	var lines strings.Builder
	for _, name := range sortedKeys(env) {
		lines.WriteString(name + "=" + env[name] + "\n")
	}
	return lines.String()
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
