package unit

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// prepare is ExecStartPre: image and notebook directory, as the member.
func (in Input) prepare() []string {
	p := in.Profile
	args := []string{contract.Helper, contract.ModePrepare, "--profile", p.Name, "--image", p.Image,
		"--pull", string(p.Pull), "--timeout", seconds(p.ImageTimeout) + "s"}
	if p.Archive != "" {
		args = append(args, "--archive", p.Archive)
	}
	if p.NotebookDir != "" {
		args = append(args, "--directory", in.notebookDir())
	}
	return escape(args)
}

// run is ExecStart.
func (in Input) run() []string {
	if in.Profile.Persistent {
		return in.runPersistent()
	}
	// systemd expands these two; everything else stands for itself.
	return slices.Concat(escape([]string{contract.Podman, "--events-backend=file", "run", "--rm", "--replace"}),
		escape(in.container()),
		[]string{"--env-file", "${CREDENTIALS_DIRECTORY}/env", "${" + contract.EnvImage + "}"}, escape(in.payload()))
}

// container is podman run's options for one container, without the server's environment.
func (in Input) container() []string {
	args := []string{"--name", in.containerName(), "--pull=never",
		// The container's start is the unit's, its processes live in the unit's cgroup, its output goes to the unit's
		// journal once.
		"--sdnotify=conmon", "--cgroups=split", "--log-driver=passthrough",
		// The unit's TasksMax is the limit; podman's own of 2048 would come first.
		"--pids-limit=0",
		// The member's supplementary groups count for what they may read.
		"--group-add", "keep-groups",
		// Files of a shared file system cannot be relabelled for SELinux.
		"--security-opt", "label=disable"}
	for _, d := range in.Devices {
		args = append(args, "--device", d.Name)
	}
	args = append(args, in.mapping()...)
	if !in.Profile.AllowSudo {
		args = append(args, "--security-opt", "no-new-privileges")
	}
	args = append(args, in.network()...)
	args = append(args, in.environmentArgs()...)
	args = append(args, in.mounts()...)
	return append(args, "--workdir", in.notebookDir())
}

func (in Input) mapping() []string {
	if in.Profile.UserMapping == policy.MapHost {
		return []string{"--userns=keep-id"}
	}
	return []string{"--userns=keep-id:uid=1000,gid=100"}
}

// network is podman's part of the container's network: pasta, through which no port of the host's loopback can be
// reached. Helper adds the hub's API on the container's own loopback. Where it attaches all of the network, the
// container starts with none.
func (in Input) network() []string {
	pid := []string{"--pidfile", in.pidFile()}
	if !in.Podman.HasPasta() || in.isolated() {
		return append(pid, "--network=none", "--mount", bind(contract.ResolvConf, "/etc/resolv.conf", true))
	}
	pasta := "pasta:-a," + contract.ContainerAddress + ",-n," + contract.ContainerNetmask + ",-g," +
		contract.ContainerGateway + ",--no-map-gw"
	if in.Podman.MapsGuest() {
		pasta += ",--map-guest-addr,none"
	}
	return append(pid, "--network="+pasta)
}

// isolated reports whether the host is out of reach. Helper then attaches the network, to close the host before
// anything else is open.
func (in Input) isolated() bool { return in.Profile.Network == policy.NetworkIsolated }

// connect is ExecStartPost.
func (in Input) connect() []string {
	args := []string{contract.Helper, contract.ModeNetwork, "--pidfile", in.pidFile(), "--port", in.apiPort()}
	if in.isolated() {
		args = append(args, "--isolated")
	}
	if in.Profile.Persistent {
		args = append(args, "--persistent")
	}
	return args
}

func (in Input) apiPort() string { return strconv.Itoa(int(in.Policy.Host.HubAPIPort)) }

func (in Input) pidFile() string { return contract.RunRoot(in.UID) + "-" + in.containerName() + ".pid" }

func (in Input) environmentArgs() []string {
	args := []string{"--env", "HOME=" + in.home()}
	for _, name := range slices.Sorted(maps.Keys(in.Profile.Env)) {
		args = append(args, "--env", name+"="+in.Profile.Env[name])
	}
	if len(in.Profile.Command) == 0 {
		// The start scripts of docker-stacks images hand it to the server.
		args = append(args, "--env", "NOTEBOOK_ARGS="+strings.Join(serverArgs(), " "))
	}
	return args
}

func (in Input) home() string { return in.Policy.Host.HomeOf(in.Key.User) }

func (in Input) notebookDir() string { return in.Profile.NotebookDirOf(in.Key.User, in.home()) }

func (in Input) mounts() []string {
	var args []string
	if in.Policy.Host.Cluster != "" {
		args = append(args, "--mount", bind(in.Policy.Host.Cluster, in.Policy.Host.Cluster, true))
	}
	args = append(args, "--mount", bind(in.home(), in.home(), false), "--mount",
		bind(contract.SocketDir(in.Key), contract.SocketMount, false))
	for _, m := range in.Mounts {
		args = append(args, "--mount", bind(m.Source, m.Target, m.ReadOnly))
	}
	return args
}

// bind writes a mount in which no character of a path has a meaning (the policy refuses
// comma, quote and backslash). "rslave" lets file systems that the host mounts below it
// later, such as an automounter's, appear inside.
func bind(source, target string, readOnly bool) string {
	s := "type=bind,source=" + source + ",target=" + target + ",bind-propagation=rslave"
	if readOnly {
		s += ",readonly"
	}
	return s
}

// payload is what the container runs. Without a command, the image's own command runs, which arguments would replace:
// see environmentArgs.
func (in Input) payload() []string {
	p := in.Profile
	if len(p.Command) == 0 {
		return p.Args
	}
	return slices.Concat(p.Command, p.Args, serverArgs())
}

// serverArgs makes the server listen on the socket, open to its group, the hub's.
func serverArgs() []string {
	return []string{"--ServerApp.sock=" + contract.SocketInside, "--ServerApp.sock_mode=0660"}
}

// escape keeps systemd from taking '$' for a variable (systemd.service(5), "Command lines").
func escape(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = strings.ReplaceAll(a, "$", "$$")
	}
	return out
}
