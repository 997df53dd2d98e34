// Package check tests whether a host can do what the hub needs, for `gifford-hub check`.
// Each finding says what was seen, why it matters and the command that fixes it. It must never change anything on the
// host. What it is not permitted to read is a finding of level Unknown, never a guess.
package check

import (
	"context"
	"fmt"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// Level is the result of a check.
type Level string

// The levels. Only Fail makes the command fail.
const (
	OK      Level = "ok"
	Warn    Level = "warn"    // works, but worse than it could
	Fail    Level = "fail"    // the hub or its servers will not work
	Unknown Level = "unknown" // could not be tested; the finding says why
)

// Result is one finding.
type Result struct {
	Check  string `json:"check"` // the check's name in the table
	Level  Level  `json:"level"`
	What   string `json:"what"`             // what was seen
	Why    string `json:"why"`              // why it matters
	Remedy string `json:"remedy,omitempty"` // the command that fixes it; "" when there is nothing to fix
}

// launcher is the part of the launcher's client that is tested.
type launcher interface {
	Profiles(ctx context.Context) ([]launcherbus.Profile, error)
	GPUs(ctx context.Context) (launcherbus.GPUs, error)
}

// keeper is the part of the image keeper's client that is tested.
type keeper interface {
	Disk(ctx context.Context) (imagekeeper.Disk, error)
}

// Config is what Run needs.
type Config struct {
	// Host is the host under test; NewHost returns the real one. Required.
	Host host
	// Launcher asks the launcher; nil when the system bus cannot be reached, for the
	// reason in LauncherError.
	Launcher launcher
	// LauncherError is why Launcher is nil.
	LauncherError error
	// Keeper asks the image keeper. Required.
	Keeper keeper
	// GPUs reads the CDI specifications, and GPUState what gifford-gpus wrote of their
	// devices. Required.
	GPUs     func() gpu.Inventory
	GPUState func() (gpu.State, error)
	// LoadSettings reads hub.toml. Required.
	LoadSettings func() (*config.Config, error)
	// LoadPolicy reads launcher.toml. Required.
	LoadPolicy func() (*policy.Policy, error)
	// User is a member for whom more is tested; the zero value for none.
	User ident.User
}

// finding is what a check saw; the rest of a Result is in the table. Checks make it with ok, warn, fail or unknown,
// whose first argument is the remedy: every finding but an ok one has one where there is a command that helps.
type finding struct {
	level  Level
	what   string
	remedy string
}

// check is a row of the table.
type check struct {
	name string
	why  string
	run  func(context.Context, *run) []finding
}

// run is one run over the table.
type run struct {
	Config
	settings    *config.Config // nil when they cannot be used
	settingsErr error
	policy      *policy.Policy // nil when it cannot be used
	policyErr   error
}

// Run makes every check, in the order of the table.
func Run(ctx context.Context, cfg Config) []Result {
	r := &run{Config: cfg}
	r.settings, r.settingsErr = cfg.LoadSettings()
	r.policy, r.policyErr = cfg.LoadPolicy()
	var results []Result
	for _, c := range table() {
		for _, f := range c.run(ctx, r) {
			results = append(results, Result{c.name, f.level, f.what, c.why, f.remedy})
		}
	}
	return results
}

// Failed reports whether a result is a failure.
func Failed(results []Result) bool {
	for _, r := range results {
		if r.Level == Fail {
			return true
		}
	}
	return false
}

func table() []check {
	return []check{
		{"cgroups", "memory, CPU and task limits of a notebook are those of its unit's cgroup", cgroups},
		{"systemd", "units of notebooks use what systemd 252 brought", systemdVersion},
		{"kernel", "the faster ways of storing images need a newer kernel", kernel},
		{"user namespaces", "rootless Podman runs each notebook in a user namespace", userNamespaces},
		{"podman", "Podman runs the notebooks", podman},
		{"crun", "the runtime that lets a notebook keep its member's groups", crun},
		{"id maps", "newuidmap and newgidmap give a container its member's range of ids", idMaps},
		{"network", "pasta provides a network without privileges, and the hub's API port alone", network},
		{"images", "with one store of images for everybody a member's first start takes a second and no disk", images},
		{"tun", "pasta makes its network device through /dev/net/tun", tun},
		{"linger", "a member's user manager must stay while nobody is logged in", linger},
		{"clock", "login tokens are refused when clocks differ", clock},
		{"settings", "the hub does not start with settings that are wrong", settingsFiles},
		{"policy", "the launcher refuses every start without a policy that it can read", policyFile},
		{"launcher", "the hub starts nothing itself: it asks the launcher over the system bus", launcherAnswers},
		{"gpus", "a profile lends the devices of CDI specifications, which its member must be able to open", gpus},
		{"access", "only people whom a rule lets in may sign in", access},
		{"roles", "people and their servers have the rights of the default roles", roles},
		{"certificate", "browsers refuse a certificate that has ended or has another name", certificate},
		{"origins", "browsers keep the pages of different origins apart", memberOrigins},
		{"provider", "people sign in at the provider", provider},
		{"sockets", "systemd holds the hub's ports, so that a restart refuses nobody", sockets},
		{"state", "the database and the keys are there", state},
		{"audit", "lines of others in the journal can push out who did what; a file of its own keeps it", auditFile},
		{"cluster", "notebooks see it read-only", cluster},
		{"disk", "a notebook that cannot write loses work", diskSpace},
		{"member", "what a start for this member needs", member},
	}
}

func ok(format string, args ...any) []finding {
	return []finding{{OK, fmt.Sprintf(format, args...), ""}}
}

func warn(remedy, format string, args ...any) []finding {
	return []finding{{Warn, fmt.Sprintf(format, args...), remedy}}
}

func fail(remedy, format string, args ...any) []finding {
	return []finding{{Fail, fmt.Sprintf(format, args...), remedy}}
}

func unknown(remedy, format string, args ...any) []finding {
	return []finding{{Unknown, fmt.Sprintf(format, args...), remedy}}
}

// asRoot is the remedy for what only root may read.
const asRoot = "sudo gifford-hub check"
