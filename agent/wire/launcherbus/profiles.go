package launcherbus

import "context"

// Profile is one of the policy's choices, as much of it as people are shown. It crosses the bus as it is, D-Bus type
// (ssssbi).
type Profile struct {
	Name, DisplayName, Description, Image string
	Default                               bool
	GPUs                                  int32 // devices that a server of it holds; AllGPUs: all that are open to all
}

// Profiles returns the policy's profiles, the default one first.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	var all []Profile
	err := c.call(ctx, "Profiles", &all)
	return all, err
}
