package keeper

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// formerRepository begins the hidden names that protect former images from Podman's own pruning. People are not shown
// them.
const formerRepository = "localhost/gifford-former/"

// formerName is the hidden name of an image that a name had.
func formerName(name, id string) (repository, tag string) {
	sum := sha256.Sum256([]byte(name))
	return formerRepository + hex.EncodeToString(sum[:6]), id[:12]
}

func hidden(name string) bool { return strings.HasPrefix(name, formerRepository) }

func visible(names []string) []string {
	all := slices.DeleteFunc(slices.Clone(names), hidden)
	slices.Sort(all)
	return slices.Compact(all)
}

// normal returns a name in full: with a registry, and a tag or digest.
func normal(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", refuseWith("write it in full, such as quay.io/jupyter/scipy-notebook:latest",
			"%.200q is no image name: %v", name, err)
	}
	if hidden(named.Name()) {
		return "", refuse("names below %s are the image keeper's own", formerRepository)
	}
	return reference.TagNameOnly(named).String(), nil
}

// pinned reports whether a name has a digest, so that nothing newer can come by it.
func pinned(name string) bool {
	named, err := reference.ParseNormalizedNamed(name)
	_, digested := named.(reference.Digested)
	return err == nil && digested
}

// splitTag returns the two parts of a normal name with a tag.
func splitTag(name string) (repository, tag string, err error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", "", err
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return "", "", fmt.Errorf("%s has no tag", name)
	}
	return named.Name(), tagged.Tag(), nil
}

// allowed refuses a name that neither a profile has nor a pattern of the policy covers.
func allowed(rules *policy.Policy, name string) error {
	if len(profilesOf(rules, name)) > 0 {
		return nil
	}
	for _, pattern := range rules.Images.Allow {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return nil
		}
	}
	return refuseWith(fmt.Sprintf("a profile with it, or allow = [%q] in [images] of %s", name, policy.File),
		"the policy does not allow the image %s", name)
}

// profilesOf names the profiles that start with an image of that normal name.
func profilesOf(rules *policy.Policy, name string) []string {
	var all []string
	for _, p := range rules.Profiles {
		if full, err := normal(p.Image); err == nil && full == name {
			all = append(all, p.Name)
		}
	}
	return all
}

// idPrefix reports whether s can be the beginning of an ID.
func idPrefix(s string) bool {
	return imagestore.IsID(s) || len(s) >= 12 && len(s) < 64 && strings.Trim(s, "0123456789abcdef") == ""
}
