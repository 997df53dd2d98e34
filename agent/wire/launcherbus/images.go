package launcherbus

import "github.com/gifford-lab/gifford-hub/agent/ident"

// Older reports whether a server runs on another image than the one with which its profile
// would start now, and whether that is known at all: not of one with a copy of its own,
// nor of a profile whose image is not in the store. profile is what was asked for, "" the
// default one of profiles.
func (i Images) Older(key ident.Key, profile string, profiles []Profile) (older, known bool) {
	for _, p := range profiles {
		if profile == "" && p.Default {
			profile = p.Name
		}
	}
	has, would := i.Servers[key], i.Profiles[profile]
	return has != would, has != "" && would != ""
}
