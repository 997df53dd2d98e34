// Package unit turns a member, a profile and the policy into the transient systemd unit that runs the member's
// notebook: its name, properties and podman's arguments. It is pure: the same input makes the same unit, which golden
// files show. It must never read the host, take a value from the hub, or put a secret into a property or argument.
package unit

import (
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// servicePort is that of JUPYTERHUB_SERVICE_URL. Nothing listens on it: the server takes its path from the URL and
// listens on the socket (reference: jupyterhub.md 1.9).
const servicePort = "8888"

// Input is everything from which a unit is made. Every field is required except where noted.
type Input struct {
	Key       ident.Key
	UID, GID  uint32 // of the account
	Profile   policy.Profile
	Policy    *policy.Policy
	Mounts    []policy.Mount    // those of the policy that this member gets with this profile
	Devices   []contract.Device // those that are lent to it, if any
	Podman    contract.PodmanVersion
	TokenHash string // SHA-256 of the server's token; "" when the hub sent none
	// WithoutGPUs says that the server gets no devices, whatever the profile requests.
	WithoutGPUs bool
}

// Build makes the unit of one server.
func Build(in Input) transient.Spec {
	return transient.Spec{Name: in.Key.Unit(), Properties: slices.Concat(in.service(), in.commands(), in.limits(),
		logLimits())}
}

func (in Input) service() []transient.Property {
	p := in.Profile
	view := contract.ViewDir(in.Key)
	return []transient.Property{
		{Name: "Description", Value: "Jupyter server of " + in.Key.String() + " (profile " + p.Name + ")"},
		// Root's part, before the first command of this unit and after the last.
		{Name: "Requires", Value: []string{ViewUnit(in.Key)}},
		{Name: "After", Value: []string{ViewUnit(in.Key)}},
		{Name: "OnSuccess", Value: []string{UnviewUnit(in.Key)}},
		{Name: "OnFailure", Value: []string{UnviewUnit(in.Key)}},
		{Name: "Slice", Value: Slice},
		{Name: "User", Value: in.Key.User.String()},
		{Name: "Type", Value: "notify"},
		// podman, the main process, says that the container runs, and that conmon, which it leaves behind, is the main
		// process from then on; prepare, a control process, asks for time for a pull. No other process of the unit has
		// anything to say to systemd, above all none in the container.
		{Name: "NotifyAccess", Value: "exec"},
		{Name: "Delegate", Value: true},
		// Podman ends the container; what is left after that is killed.
		{Name: "KillMode", Value: "mixed"},
		// One process killed for memory, such as a kernel, must not end the server.
		{Name: "OOMPolicy", Value: "continue"},
		// A server that ends on SIGTERM because it was stopped has not failed.
		{Name: "SuccessExitStatus", Value: transient.ExitStatuses{Codes: []int32{128 + 15}, Signals: []int32{}}},
		{Name: "UMask", Value: in.Policy.Host.UMask},
		{Name: "WorkingDirectory", Value: contract.UserDir(in.Key.User)},
		{Name: "LoadCredential", Value: []transient.Credential{{Name: "env", Path: contract.CredentialPath(in.Key)}}},
		{Name: "Environment", Value: append(in.podmanEnvironment(path.Join(view, contract.StorageConfName)),
			in.metadata().Environment()...)},
		// Read again for each command; gifford-view writes it.
		{Name: "EnvironmentFiles", Value: []transient.EnvironmentFile{
			{Path: path.Join(view, contract.ImageEnvName), Optional: true}}},
		{Name: "SyslogIdentifier", Value: "jupyter-" + in.Key.User.String()},
		{Name: "TimeoutStartUSec", Value: micros(p.StartTimeout)},
		{Name: "TimeoutStopUSec", Value: micros(StopTimeout(p))},
	}
}

// StopTimeout is the unit's time-out for each step of its stop. Podman's own ends first and says so.
func StopTimeout(p policy.Profile) time.Duration { return p.StopTimeout + 10*time.Second }

func (in Input) commands() []transient.Property {
	stop := command(contract.Podman, "stop", "--ignore", "--time="+seconds(in.Profile.StopTimeout), in.containerName())
	return []transient.Property{
		{Name: "ExecStartPre", Value: []transient.Command{command(in.prepare()...)}},
		{Name: "ExecStart", Value: []transient.Command{command(in.run()...)}},
		{Name: "ExecStartPost", Value: []transient.Command{command(in.connect()...)}},
		{Name: "ExecStop", Value: []transient.Command{stop}},
		{Name: "ExecStopPost", Value: []transient.Command{command(in.afterEnd()...)}},
	}
}

func (in Input) limits() []transient.Property {
	p := in.Profile
	return []transient.Property{
		{Name: "MemoryMax", Value: p.MemoryMax},
		{Name: "MemoryHigh", Value: p.MemoryHigh},
		{Name: "CPUQuotaPerSecUSec", Value: p.CPUQuota},
		{Name: "TasksMax", Value: p.TasksMax},
	}
}

// How much of what a member's programs write the journal keeps: so many lines a minute, up to six times as many where
// much of its disk is free (journald.conf(5), RateLimitBurst=). A server that starts writes about 50, and one that is
// used a few for each page; what a notebook prints goes to the browser instead.
const (
	logInterval = time.Minute
	logBurst    = 500
)

// logLimits keeps a member from pushing what others have written out of the journal, whose space all share.
func logLimits() []transient.Property {
	return []transient.Property{
		{Name: "LogRateLimitIntervalUSec", Value: micros(logInterval)},
		{Name: "LogRateLimitBurst", Value: uint32(logBurst)},
	}
}

// View returns the request for the input's server.
func (in Input) View() contract.ViewRequest {
	r := contract.ViewRequest{UID: in.UID, GID: in.GID, Mapping: contract.Mapping(in.Profile.UserMapping),
		Image: in.Profile.Image, Share: in.Policy.Images.Share}
	if in.Profile.Persistent {
		r.Persistent = in.Profile.Name
	}
	return r
}

func command(args ...string) transient.Command { return transient.Command{Path: args[0], Args: args} }

func micros(d time.Duration) uint64 { return uint64(d / time.Microsecond) }

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
