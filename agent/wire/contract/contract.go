// Package contract is what the programs around one server agree on: the launcher, which makes its unit, gifford-view,
// which runs as root before and after it, gifford-container, which runs as the member within it, and gifford-shell,
// which enters it. It holds paths, names of containers, names of variables, exit statuses, and the files by which these
// programs pass each other requests and results. It must never need the policy or its parser, so that the programs that
// only follow orders do not link them; it must never open a file, and never hold a secret.
package contract

// Paths of the host (ARCHITECTURE.md).
const (
	RunDir     = "/run/gifford-launcher"     // the launcher's, lost at a boot
	StateDir   = "/var/lib/gifford-launcher" // the launcher's, and the container storage of members
	Helper     = "/usr/libexec/gifford-hub/gifford-container"
	PolicyFile = "/etc/gifford-hub/launcher.toml" // for hints; policy.File is the same
	ResolvConf = RunDir + "/resolv.conf"          // a container's resolv.conf where Helper attaches its network
	// HubSocket is where the hub's API listens for servers. Only root can make anything in its directory.
	HubSocket = "/run/gifford-hub/api.sock"
)

// Addresses of a container, the same in each: the host's own addresses stay the host's. They are those that
// slirp4netns has used for years.
const (
	ContainerAddress = "10.0.2.100"
	ContainerNetmask = "24"
	ContainerGateway = "10.0.2.2" // nobody answers there
)

// DNSForward is the address at which pasta passes DNS questions to the host's resolver (link-local, as Podman 5 itself
// chooses it).
const DNSForward = "169.254.1.1"

// Modes of Helper, its first argument.
const (
	ModePrepare    = "prepare"    // ExecStartPre: the image and the notebook directory
	ModePersistent = "persistent" // ExecStart of a persistent profile
	ModeNetwork    = "network"    // ExecStartPost: the hub's API, and the network where Podman does not attach it
	ModeRemove     = "remove"     // of persistent containers
	ModeDiskUse    = "disk-use"   // measures what a member's files take
	ModeAPI        = "api"        // Podman's API of the member
)

// Exit statuses of Helper. unit.Explain puts them into words.
const (
	ExitUsage     = 64 // wrong arguments
	ExitNoImage   = 71 // the image is missing and may not be pulled
	ExitLoad      = 72 // the archive cannot be loaded
	ExitPull      = 73 // the registry does not deliver the image
	ExitDirectory = 74 // the notebook directory cannot be made
	ExitNetwork   = 75 // no network for the container
	ExitPodman    = 76 // Podman's own state is broken
)

// Variables by which gifford-view says to the unit's commands which image to run. systemd reads them from the file
// ImageEnvName of the server's view.
const (
	EnvImage = "GIFFORD_RUN_IMAGE"  // an ID of the shared store, or the image's name as the profile has it
	EnvSlow  = "GIFFORD_NOT_SHARED" // why it is no shared image; "" when it is
)

// Values of the option --pull of ModePrepare; the policy has the same.
const (
	PullMissing = "missing" // ask the registry
	PullNever   = "never"
)
