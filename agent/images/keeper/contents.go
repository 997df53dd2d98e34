package keeper

import (
	"encoding/json"
	"strings"

	"github.com/distribution/reference"
)

// The descriptions of an archive's images, by their place in it.
const (
	dockerManifest = "manifest.json" // docker-archive
	ociIndex       = "index.json"    // oci-archive (OCI image layout specification)
	dockerNames    = "repositories"  // of docker-archives before Docker 1.10; nobody needs it
)

// dockerItem is an image of a docker-archive, as containers/image reads it (docker/tarfile, ManifestItem).
type dockerItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// ociList is the index of an OCI image layout. What it does not name is not passed on: Podman reads keys without regard
// to case, and an archive must not name its image in a spelling that this program overlooks.
type ociList struct {
	SchemaVersion int       `json:"schemaVersion"`
	MediaType     string    `json:"mediaType,omitempty"`
	Manifests     []ociItem `json:"manifests"`
}

// ociItem is an image of an oci-archive.
type ociItem struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    json.RawMessage   `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// name returns what the archive calls the image, by the annotation that Podman reads; "" for none.
func (i ociItem) name() string {
	if name := i.Annotations["io.containerd.image.name"]; name != "" {
		return name
	}
	return i.Annotations["org.opencontainers.image.ref.name"]
}

// chooser picks one of the images that a description has, each with its names in full. It returns -1 if the description
// does not have the image, so that another one may.
type chooser func(images [][]string) (int, error)

// only picks the image of an archive that has one, which may have one name.
func only(images [][]string) (int, error) {
	if len(images) != 1 {
		return 0, refuse("the archive has %d images; one is needed: %s", len(images), listed(images))
	}
	if len(images[0]) > 1 {
		return 0, refuse("the archive has %d names for its image; one at most is needed: %s", len(images[0]),
			listed(images))
	}
	return 0, nil
}

// called returns a chooser of the image with that name.
func called(name string) chooser {
	return func(images [][]string) (int, error) {
		for i, names := range images {
			for _, n := range names {
				if n == name {
					return i, nil
				}
			}
		}
		return -1, nil
	}
}

// listed returns the first names of an archive's images.
func listed(images [][]string) string {
	const most = 10
	var all []string
	for _, names := range images {
		all = append(all, names...)
	}
	if len(all) > most {
		all = append(all[:most], "…")
	}
	return strings.Join(all, ", ")
}

// describe reads a description of an archive's images and returns it with the chosen image alone and without names; nil
// if it does not have the image. names are those of all its images.
func describe(file string, text []byte, choose chooser) (only []byte, names [][]string, err error) {
	if file == dockerManifest {
		return describeDocker(text, choose)
	}
	return describeOCI(text, choose)
}

func describeDocker(text []byte, choose chooser) ([]byte, [][]string, error) {
	var items []dockerItem
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, nil, refuse("cannot read %s of the archive: %v", dockerManifest, err)
	}
	names := make([][]string, len(items))
	for i, item := range items {
		for _, tag := range item.RepoTags {
			name, err := savedName(tag)
			if err != nil {
				return nil, nil, err
			}
			names[i] = append(names[i], name)
		}
	}
	i, err := choose(names)
	if err != nil || i < 0 {
		return nil, names, err
	}
	items[i].RepoTags = nil
	only, err := json.Marshal(items[i : i+1])
	return only, names, err
}

func describeOCI(text []byte, choose chooser) ([]byte, [][]string, error) {
	var list ociList
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, nil, refuse("cannot read %s of the archive: %v", ociIndex, err)
	}
	names := make([][]string, len(list.Manifests))
	for i, item := range list.Manifests {
		if item.name() == "" {
			continue
		}
		name, err := savedName(item.name())
		if err != nil {
			return nil, nil, err
		}
		names[i] = []string{name}
	}
	i, err := choose(names)
	if err != nil || i < 0 {
		return nil, names, err
	}
	list.Manifests = list.Manifests[i : i+1]
	list.Manifests[0].Annotations = nil
	only, err := json.Marshal(list)
	return only, names, err
}

// savedName returns a name of an archive in full, as Podman understands it: what has no registry is localhost's
// (containers/common, libimage, NormalizeName).
func savedName(name string) (string, error) {
	ref, err := reference.Parse(name)
	named, ok := ref.(reference.Named)
	if err != nil || !ok {
		return "", badName(name, err)
	}
	if domain := reference.Domain(named); !strings.ContainsAny(domain, ".:") && domain != "localhost" {
		name = "localhost/" + strings.TrimLeft(name, "/")
	}
	if named, err = reference.ParseNormalizedNamed(name); err != nil {
		return "", badName(name, err)
	}
	return reference.TagNameOnly(named).String(), nil
}

func badName(name string, err error) error {
	return refuse("the archive calls its image %.200q, which is no image name: %v", name, err)
}
