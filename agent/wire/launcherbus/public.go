package launcherbus

import "context"

// PublicPaths are the paths of a profile's servers that everybody may open, relative to the server's own. It crosses
// the bus as it is, D-Bus type (sas).
type PublicPaths struct {
	Profile string
	Paths   []string
}

// Public returns the public paths of the profiles that have some. A launcher of before 0.2 has no such operation and no
// such profile.
func (c *Client) Public(ctx context.Context) ([]PublicPaths, error) {
	var all []PublicPaths
	err := c.call(ctx, "Public", &all)
	if unknownMethod(err) {
		return nil, nil
	}
	return all, err
}
