package launcherbus

import (
	"context"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Images says which images of the shared store are in use and which would be. An ID is 64 hexadecimal digits.
type Images struct {
	Servers map[ident.Key]string // ID of the image that the server runs on; none for one with its own copy
	// ID of the image with which the profile would start now; none for one that is not in the store
	Profiles map[string]string
}

// ImagesRow is an Images on the bus: two values, D-Bus types a(sss) and a(ss).
type ImagesRow struct {
	Servers  []ServerImage
	Profiles []ProfileImage
}

// ServerImage is an entry of Images.Servers on the bus.
type ServerImage struct{ User, Server, ID string }

// ProfileImage is an entry of Images.Profiles on the bus.
type ProfileImage struct{ Profile, ID string }

// fields returns where the two values go.
func (r *ImagesRow) fields() []any { return []any{&r.Servers, &r.Profiles} }

func (r ImagesRow) images() (Images, error) {
	images := Images{map[ident.Key]string{}, map[string]string{}}
	for _, s := range r.Servers {
		key, err := ident.ParseKey(s.User, s.Server)
		if err != nil {
			return Images{}, err
		}
		images.Servers[key] = s.ID
	}
	for _, p := range r.Profiles {
		images.Profiles[p.Profile] = p.ID
	}
	return images, nil
}

// Images returns the images of the shared store that servers run on and profiles would start with.
func (c *Client) Images(ctx context.Context) (Images, error) {
	return read(ctx, c, "Images", ImagesRow.images)
}
