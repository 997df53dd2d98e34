// Package policy is the root-owned policy of a host, /etc/gifford-hub/launcher.toml: which
// members may have servers, in which images, with which mounts and limits. It is pure but
// for Load, which reads one file. It must never take a decision from anything that a
// caller says.
package policy

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// File is where the policy is on a host.
const File = "/etc/gifford-hub/launcher.toml"

// Problems is everything that is wrong with a policy, an error each.
type Problems []error

func (p Problems) Error() string { return errors.Join(p...).Error() }

// Policy is the whole file.
type Policy struct {
	Host     Host                `toml:"host"`
	SubIDs   SubIDs              `toml:"subids"`
	Defaults Profile             `toml:"defaults"`
	Profiles map[string]*Profile `toml:"profile"`
	Mounts   []Mount             `toml:"mount"`
}

// Host is what holds for every server.
type Host struct {
	// Cluster is a folder that every server sees read-only; "" for none.
	Cluster string `toml:"cluster"`
	// Home is each member's writable folder and HOME; "{user}" stands for the user name.
	Home string `toml:"home"`
	// CreateHome lets the launcher make a home that is missing.
	CreateHome bool `toml:"create_home"`
	// HomeMode is the mode of a home that the launcher makes, in octal.
	HomeMode string `toml:"home_mode"`
	// MinUID refuses accounts below it: system accounts never get a server.
	MinUID uint32 `toml:"min_uid"`
	// DenyUsers never get a server.
	DenyUsers []string `toml:"deny_users"`
	// UnixGroups, when not empty, are the only groups whose members may have servers: a
	// second line of defence behind the hub's own rules.
	UnixGroups []string `toml:"unix_groups"`
	// HubAPIPort is the loopback port of the hub's API, the only one of the host's that a
	// container reaches.
	HubAPIPort int `toml:"hub_api_port"`
	// UMask of the servers' files, in octal; "" is systemd's own (0022).
	UMask string `toml:"umask"`
}

// SubIDs is where members without subordinate ids get theirs from (subuid(5)).
type SubIDs struct {
	First uint32 `toml:"first"` // no range is given below it
	Count uint32 `toml:"count"` // ids a range
}

// Profile is a choice of image and limits. What a profile leaves out it takes from the
// section defaults.
type Profile struct {
	DisplayName string `toml:"display_name"`
	Description string `toml:"description"`
	Default     bool   `toml:"default"`
	// Image is the image's full name, "registry/name:tag".
	Image string `toml:"image"`
	// Archive is a docker-archive or oci-archive file that the image is loaded from when
	// the member's store has it not.
	Archive string `toml:"archive"`
	// Pull is "missing" or "never".
	Pull string `toml:"pull"`
	// Command replaces the image's own; an empty list keeps it.
	Command *[]string `toml:"command"`
	// Args come after the command.
	Args []string `toml:"args"`
	// UserMapping is "image" (the image's uid 1000, gid 100, as docker-stacks) or "host"
	// (the member's own name and uid inside, too).
	UserMapping string `toml:"user_mapping"`
	// AllowSudo leaves set-uid programs inside the container alone.
	AllowSudo *bool `toml:"allow_sudo"`
	// Env are further environment variables of the container.
	Env map[string]string `toml:"env"`
	// NotebookDir is where JupyterLab's file browser begins, below HOME unless absolute.
	NotebookDir string `toml:"notebook_dir"`
	// DefaultURL is the page that opens first, such as "/lab".
	DefaultURL string `toml:"default_url"`
	// MemoryMax, MemoryHigh, CPUQuota and TasksMax are limits of the unit
	// (systemd.resource-control(5)).
	MemoryMax  Bytes   `toml:"memory_max"`
	MemoryHigh Bytes   `toml:"memory_high"`
	CPUQuota   Percent `toml:"cpu_quota"`
	TasksMax   uint64  `toml:"tasks_max"`
	// StartTimeout and StopTimeout bound the unit; loading or pulling an image counts.
	StartTimeout Duration `toml:"start_timeout"`
	StopTimeout  Duration `toml:"stop_timeout"`
	// UnixGroups, when not empty, are the only groups whose members may use the profile.
	UnixGroups []string `toml:"unix_groups"`
}

// Mount is a further folder of the host in every container.
type Mount struct {
	Source   string `toml:"source"`
	Target   string `toml:"target"`
	Writable bool   `toml:"writable"`
}

// Load reads and checks the file.
func Load(path string) (*Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	return Parse(path, text)
}

// Parse reads a policy. An error names the file, the line where there is one, and the key.
func Parse(path string, text []byte) (*Policy, error) {
	p := defaults()
	dec := toml.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(p); err != nil {
		return nil, explain(path, err)
	}
	for name, profile := range p.Profiles {
		profile.fill(p.Defaults)
		if profile.DisplayName == "" {
			profile.DisplayName = name
		}
	}
	var problems Problems
	for _, problem := range p.problems() {
		problems = append(problems, fmt.Errorf("%s: %w", path, problem))
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return p, nil
}

// explain puts the decoder's errors into "file:line: key: what".
func explain(path string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var all Problems
		for _, e := range strict.Errors {
			row, _ := e.Position()
			all = append(all, fmt.Errorf("%s:%d: unknown key %q", path, row, strings.Join(e.Key(), ".")))
		}
		return all
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, _ := decode.Position()
		if key := strings.Join(decode.Key(), "."); key != "" {
			return Problems{fmt.Errorf("%s:%d: key %q: %s", path, row, key, strings.TrimPrefix(decode.Error(), "toml: "))}
		}
		return Problems{fmt.Errorf("%s:%d: %s", path, row, strings.TrimPrefix(decode.Error(), "toml: "))}
	}
	return Problems{fmt.Errorf("%s: %w", path, err)}
}

func defaults() *Policy {
	command, sudo := []string{"jupyterhub-singleuser"}, true
	return &Policy{
		Host:   Host{Cluster: "/cluster", Home: "/cluster/{user}", HomeMode: "0700", MinUID: 1000, HubAPIPort: 8081},
		SubIDs: SubIDs{First: 1 << 19, Count: 1 << 16},
		Defaults: Profile{Pull: "missing", Command: &command, UserMapping: "image", AllowSudo: &sudo,
			StartTimeout: Duration(10 * time.Minute), StopTimeout: Duration(20 * time.Second)},
	}
}

// fill takes what the profile leaves out from the defaults.
func (p *Profile) fill(d Profile) {
	or(&p.Image, d.Image)
	or(&p.Archive, d.Archive)
	or(&p.Pull, d.Pull)
	or(&p.Command, d.Command)
	or(&p.UserMapping, d.UserMapping)
	or(&p.AllowSudo, d.AllowSudo)
	or(&p.NotebookDir, d.NotebookDir)
	or(&p.DefaultURL, d.DefaultURL)
	or(&p.MemoryMax, d.MemoryMax)
	or(&p.MemoryHigh, d.MemoryHigh)
	or(&p.CPUQuota, d.CPUQuota)
	or(&p.TasksMax, d.TasksMax)
	or(&p.StartTimeout, d.StartTimeout)
	or(&p.StopTimeout, d.StopTimeout)
	if p.Args == nil {
		p.Args = d.Args
	}
	if p.UnixGroups == nil {
		p.UnixGroups = d.UnixGroups
	}
	env := map[string]string{}
	for name, value := range d.Env {
		env[name] = value
	}
	for name, value := range p.Env {
		env[name] = value
	}
	p.Env = env
}

func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// HomeOf gives the user's home by the policy's pattern.
func (h Host) HomeOf(u ident.User) string { return strings.ReplaceAll(h.Home, "{user}", u.String()) }

// Denied tells whether the policy names the user as one who never gets a server.
func (h Host) Denied(u ident.User) bool { return slices.Contains(h.DenyUsers, u.String()) }

// Profile gives a profile by name, the default one for "".
func (p *Policy) Profile(name string) (string, *Profile, bool) {
	if name == "" {
		name = p.DefaultProfile()
	}
	profile, ok := p.Profiles[name]
	return name, profile, ok
}

// DefaultProfile names the profile that is taken when none is asked for: the one marked
// so, or the only one.
func (p *Policy) DefaultProfile() string {
	for name, profile := range p.Profiles {
		if profile.Default || len(p.Profiles) == 1 {
			return name
		}
	}
	return ""
}

var (
	profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	imageName   = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	octal       = regexp.MustCompile(`^0?[0-7]{3}$`)
)

// problems gives everything that is wrong with the policy.
func (p *Policy) problems() []error {
	all := p.Host.problems()
	if len(p.Profiles) == 0 {
		all = append(all, errors.New("no [profile.NAME]: there is nothing to start"))
	}
	marked := 0
	for name, profile := range p.Profiles {
		for _, problem := range profile.problems(name) {
			all = append(all, fmt.Errorf("profile.%s: %w", name, problem))
		}
		if profile.Default {
			marked++
		}
	}
	if marked > 1 || marked == 0 && len(p.Profiles) > 1 {
		all = append(all, fmt.Errorf("%d profiles have default = true; exactly one must", marked))
	}
	for _, m := range p.Mounts {
		all = append(all, m.problems()...)
	}
	if p.SubIDs.Count < 65536 || p.SubIDs.First < 65536 {
		all = append(all, errors.New("subids: first and count must be 65536 or more"))
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all
}

func (h Host) problems() []error {
	var all []error
	if h.Cluster != "" && !cleanPath(h.Cluster) {
		all = append(all, fmt.Errorf("host.cluster: %q must be an absolute path without \"..\", commas or colons", h.Cluster))
	}
	if !cleanPath(h.Home) || !strings.HasSuffix(h.Home, "/{user}") || strings.Count(h.Home, "{user}") != 1 {
		all = append(all, fmt.Errorf("host.home: %q must be an absolute path that ends in /{user}", h.Home))
	}
	if !octal.MatchString(h.HomeMode) {
		all = append(all, fmt.Errorf("host.home_mode: %q is no octal mode such as 0700", h.HomeMode))
	}
	if h.UMask != "" && !octal.MatchString(h.UMask) {
		all = append(all, fmt.Errorf("host.umask: %q is no octal mask such as 0077", h.UMask))
	}
	if h.MinUID < 1 {
		all = append(all, errors.New("host.min_uid: root can have no server"))
	}
	if h.HubAPIPort < 1 || h.HubAPIPort > 65535 {
		all = append(all, fmt.Errorf("host.hub_api_port: %d is no port", h.HubAPIPort))
	}
	return all
}

func (p *Profile) problems(name string) []error {
	var all []error
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if !profileName.MatchString(name) {
		add("the name must be of a-z, 0-9, '-' and '_'")
	}
	if !imageName.MatchString(p.Image) {
		add("image: %q is no image name such as quay.io/jupyter/base-notebook:latest", p.Image)
	}
	if p.Archive != "" && !cleanPath(p.Archive) {
		add("archive: %q must be an absolute path", p.Archive)
	}
	if p.Pull != "missing" && p.Pull != "never" {
		add("pull: %q must be \"missing\" or \"never\"", p.Pull)
	}
	if p.UserMapping != "image" && p.UserMapping != "host" {
		add("user_mapping: %q must be \"image\" or \"host\"", p.UserMapping)
	}
	for key, value := range p.Env {
		if !envName.MatchString(key) || strings.HasPrefix(key, "JUPYTERHUB_") || strings.ContainsAny(value, "\n\r\x00") {
			add("env.%s: not a variable that a profile can set", key)
		}
	}
	if p.StartTimeout <= 0 || p.StopTimeout <= 0 {
		add("start_timeout and stop_timeout must be above zero")
	}
	return all
}

func (m Mount) problems() []error {
	if !cleanPath(m.Source) || !cleanPath(m.Target) {
		return []error{fmt.Errorf("mount: source %q and target %q must be absolute paths without \"..\", commas or colons", m.Source, m.Target)}
	}
	return nil
}

// cleanPath refuses what could mean something else in a mount option or to the kernel.
func cleanPath(p string) bool {
	return filepath.IsAbs(p) && filepath.Clean(p) == p && p != "/" && !strings.ContainsAny(p, ",:\n\x00")
}

// Sorted gives the profiles in the order of their names.
func (p *Policy) Sorted() iter.Seq2[string, *Profile] {
	return func(yield func(string, *Profile) bool) {
		for _, name := range slices.Sorted(maps.Keys(p.Profiles)) {
			if !yield(name, p.Profiles[name]) {
				return
			}
		}
	}
}
