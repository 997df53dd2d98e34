// Package policy reads the root-owned rules of the launcher (launcher.toml) and
// answers whether a person may run a profile, and with what. It is the source of all
// that the launcher takes from nobody else: images, mounts, limits, arguments. It must
// never read anything of the host and never take a value from the hub.
package policy

import (
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// File is where the policy is on a host.
const File = "/etc/gifford-hub/launcher.toml"

// Infinity is a size, quota or number without a limit, as in systemd's D-Bus properties.
const Infinity = math.MaxUint64

// Policy is the whole of launcher.toml. Parse makes it; all of it has been checked.
type Policy struct {
	Host     Host
	SubIDs   SubIDs
	Images   Images
	GPUs     GPUs
	Mounts   []Mount
	Profiles []Profile // the default first, then by name; never empty
}

// Host is what holds for every server on this host.
type Host struct {
	Cluster    string        // directory mounted read-only into every container; "" for none
	Home       string        // template of the home directories, with {user}
	CreateHome bool          // whether the launcher makes a home that is missing
	HomeMode   fs.FileMode   // mode of a home that it makes
	MinUID     uint32        // accounts below it are refused
	DenyUsers  []ident.User  // refused whatever else is true
	UnixGroups []string      // one of them is needed by everyone; none set: no such rule
	HubAPIPort uint16        // the port of the hub's API on each container's own loopback
	UsageTime  time.Duration // how long one measuring of a member's files may take
	UMask      uint32        // of the container's processes
}

// SubIDs is where accounts without subordinate ids get theirs from.
type SubIDs struct {
	First uint32 // first id that may be given
	Count uint32 // ids for each account
}

// Images is what holds for the one store of images that all members share.
type Images struct {
	Share      bool     // members see the one store; false: each has a copy
	Allow      []string // patterns (path.Match) of names that may be pulled besides those of profiles
	KeepFormer int      // former images of a name to retain, for a rollback
	MinFree    uint64   // bytes; with fewer free nothing is pulled, and what is under way ends
	// PullTimeout is the longest that a pull or an import may take, however fast its bytes come.
	PullTimeout time.Duration
}

// Pull says what to do when the member's store lacks the image.
type Pull string

// The ways to get an image.
const (
	PullMissing Pull = "missing" // ask the registry
	PullNever   Pull = "never"   // only what is there or in the profile's archive
)

// Mapping says who the member is inside the container.
type Mapping string

// The mappings of the member's uid and gid.
const (
	MapImage Mapping = "image" // uid 1000, gid 100: the user of docker-stacks images
	MapHost  Mapping = "host"  // the member's own name, uid and gid
)

// Network says what of the network a container reaches.
type Network string

// The networks.
const (
	NetworkOpen     Network = "open"     // all that a process of the member's on the host reaches, but its loopback
	NetworkIsolated Network = "isolated" // the same without the host itself
)

// Profile is one choice of image and limits.
type Profile struct {
	Name         string
	DisplayName  string
	Description  string
	Image        string
	Archive      string // docker-archive or oci-archive that is loaded when the image is missing; "" for none
	Pull         Pull
	Command      []string // empty: the image's own
	Args         []string // added to the command
	UserMapping  Mapping
	Network      Network
	AllowSudo    bool              // false: no process in the container gains privileges
	Env          map[string]string // more environment of the container
	NotebookDir  string            // template with {user} and {home}; "" is the home
	DefaultURL   string            // "" is the image's own, such as "/lab"
	MemoryMax    uint64            // bytes, or Infinity
	MemoryHigh   uint64            // bytes, or Infinity
	CPUQuota     uint64            // microseconds of processor time a second, or Infinity
	TasksMax     uint64            // processes and threads, or Infinity
	StartTimeout time.Duration     // from the unit's start to a running container, without the image
	ImageTimeout time.Duration     // for loading or pulling the image
	StopTimeout  time.Duration     // from SIGTERM to SIGKILL
	Persistent   bool              // the container outlives its unit and is started again, until a reset
	GPUs         GPUWish           // devices that its servers hold
	UnixGroups   []string          // one of them is needed to use the profile; none set: everyone may
	Mounts       []Mount           // beside those that everyone gets
	Public       []string          // paths below the server's own that everybody may open, such as "files/public"
	Default      bool
}

// Person is the one who asks for a server, as the host's name service knows them.
type Person struct {
	User ident.User
	UID  uint32
	// InGroup reports whether one of the person's groups has that name. An unknown group
	// or a name service without an answer is an error, never false.
	InGroup func(group string) (bool, error)
}

// A Refusal says which rule forbids what was asked for.
type Refusal struct {
	Reason  string
	Hint    string // the next step; "" for none
	Unknown bool   // no profile of that name
}

func (r *Refusal) Error() string { return r.Reason }

// NextStep returns the hint, for package hint.
func (r *Refusal) NextStep() string { return r.Hint }

// Home returns the home directory of a user.
func (h Host) HomeOf(u ident.User) string {
	return strings.ReplaceAll(h.Home, "{user}", u.String())
}

// NotebookDirOf returns the directory in which the user's notebooks start.
func (p Profile) NotebookDirOf(u ident.User, home string) string {
	if p.NotebookDir == "" {
		return home
	}
	return strings.NewReplacer("{user}", u.String(), "{home}", home).Replace(p.NotebookDir)
}

// Permit returns the profile of that name ("" is the default one) if the person may run
// it. The error is a *Refusal, or what InGroup returned.
func (p *Policy) Permit(who Person, profile string) (Profile, error) {
	if err := p.Admit(who); err != nil {
		return Profile{}, err
	}
	chosen, ok := p.find(profile)
	if !ok {
		return Profile{}, &Refusal{Reason: fmt.Sprintf("there is no profile %.40q in %s", profile, File), Unknown: true}
	}
	if err := oneGroup(who, chosen.UnixGroups, "use profile "+chosen.Name); err != nil {
		return Profile{}, err
	}
	return chosen, nil
}

// Admit reports whether the person may have a server at all. The error is as Permit's.
func (p *Policy) Admit(who Person) error {
	switch {
	case who.UID < p.Host.MinUID:
		return &Refusal{Reason: fmt.Sprintf("%s has uid %d; accounts below %d get no server (min_uid in %s)", who.User,
			who.UID, p.Host.MinUID, File)}
	case slices.Contains(p.Host.DenyUsers, who.User):
		return &Refusal{Reason: fmt.Sprintf("%s may not have a server (deny_users in %s)", who.User, File)}
	}
	return oneGroup(who, p.Host.UnixGroups, "have a server")
}

// oneGroup wants the person in one of the groups, if there are any.
func oneGroup(who Person, groups []string, to string) error {
	if in, err := anyGroup(who, groups); in || err != nil {
		return err
	}
	return &Refusal{Reason: fmt.Sprintf("%s may not %s: not in the Unix group %s", who.User, to,
		strings.Join(groups, ", "))}
}

func (p *Policy) find(name string) (Profile, bool) {
	if name == "" {
		return p.Profiles[0], true
	}
	i := slices.IndexFunc(p.Profiles, func(q Profile) bool { return q.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return p.Profiles[i], true
}
