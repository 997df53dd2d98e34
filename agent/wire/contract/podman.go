package contract

import (
	"fmt"
	"strconv"
	"strings"
)

// Podman is the program that runs containers.
const Podman = "/usr/bin/podman"

// Versions of Podman that matter.
const (
	// PodmanMajor and PodmanMinor are the least: "--userns=keep-id:uid=…".
	PodmanMajor, PodmanMinor = 4, 3
	// PastaMajor and PastaMinor are the first that attach pasta themselves (podman-run(1), --network=pasta).
	PastaMajor, PastaMinor = 4, 4
	// GuestMajor and GuestMinor are the first that ask pasta for an address of the host in the container
	// (--map-guest-addr), and thus need a pasta that knows the option.
	GuestMajor, GuestMinor = 5, 3
)

// PodmanVersion is Podman's version without its last number.
type PodmanVersion struct{ Major, Minor int }

// ParsePodmanVersion reads what "podman --version" prints: "podman version 5.4.2".
func ParsePodmanVersion(s string) (PodmanVersion, error) {
	words := strings.Fields(s)
	if len(words) != 3 || words[1] != "version" {
		return PodmanVersion{}, noVersion(s)
	}
	parts := strings.SplitN(words[2], ".", 3)
	if len(parts) < 2 {
		return PodmanVersion{}, noVersion(s)
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return PodmanVersion{}, noVersion(s)
	}
	return PodmanVersion{major, minor}, nil
}

func noVersion(s string) error { return fmt.Errorf("cannot read Podman's version from %.60q", s) }

// Supported reports whether the version is at least the least.
func (v PodmanVersion) Supported() bool { return v.from(PodmanMajor, PodmanMinor) }

// HasPasta reports whether podman itself can attach pasta.
func (v PodmanVersion) HasPasta() bool { return v.from(PastaMajor, PastaMinor) }

// MapsGuest reports whether podman gives containers an address of the host, 169.254.1.2, unless it is told not to.
func (v PodmanVersion) MapsGuest() bool { return v.from(GuestMajor, GuestMinor) }

func (v PodmanVersion) from(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}
