package imagekeeper

import (
	"context"
	"io"
	"net/url"

	"github.com/gifford-lab/gifford-hub/agent/wire/unixhttp"
)

// ErrUnreachable is in the chain of an error if no image keeper answers on this host.
var ErrUnreachable = unixhttp.ErrUnreachable

// Error is a failure in words for people. All methods of a Client return it.
type Error = unixhttp.Error

// Failure is the answer to a request that was refused or has failed.
type Failure = unixhttp.Failure

// Client speaks to the image keeper on this host.
type Client struct{ http *unixhttp.Client }

// New returns a client for the socket at a path. It does not connect yet.
func New(socket string) *Client {
	return &Client{unixhttp.New(socket, unixhttp.Service{
		Name: "the image keeper", Journal: "journalctl -u gifford-images", Status: "systemctl status gifford-images",
		Start:   "systemctl status gifford-images.socket gifford-images.service",
		Version: "systemctl restart gifford-images",
	})}
}

// Images lists the images of the store.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	var all []Image
	return all, c.http.Get(ctx, ImagesPath, &all)
}

// Image returns the image of a name or of the beginning of an ID.
func (c *Client) Image(ctx context.Context, name string) (Detail, error) {
	var d Detail
	return d, c.http.Get(ctx, ImagePath+named(name), &d)
}

// Disk returns the size of the store and the space that is left.
func (c *Client) Disk(ctx context.Context) (Disk, error) {
	var d Disk
	return d, c.http.Get(ctx, DiskPath, &d)
}

// Ensure returns when the image of a profile is in the store, and calls each for every step but a failed last one.
func (c *Client) Ensure(ctx context.Context, profile string, each func(Progress)) error {
	return c.stream(ctx, EnsurePath, unixhttp.JSON(EnsureRequest{profile}), each)
}

// Pull asks the registry for an image, or for all that the policy pulls when name is "". The pull ends with ctx, unless
// others wait for it too.
func (c *Client) Pull(ctx context.Context, name string, each func(Progress)) error {
	return c.stream(ctx, PullPath, unixhttp.JSON(PullRequest{Name: name}), each)
}

// PullDetached is Pull of one image that goes on when ctx ends.
func (c *Client) PullDetached(ctx context.Context, name string, each func(Progress)) error {
	return c.stream(ctx, PullPath, unixhttp.JSON(PullRequest{Name: name, Detached: true}), each)
}

// Import puts an image from an archive into the store under a name.
func (c *Client) Import(ctx context.Context, name string, archive io.Reader, each func(Progress)) error {
	return c.stream(ctx, ImportPath+named(name), unixhttp.Bytes(archive), each)
}

// Remove takes a name or an image out of the store.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.http.Post(ctx, RemovePath, unixhttp.JSON(RemoveRequest{name}), nil)
}

// Prune removes the images that nothing needs.
func (c *Client) Prune(ctx context.Context, req PruneRequest) (Pruned, error) {
	var p Pruned
	return p, c.http.Post(ctx, PrunePath, unixhttp.JSON(req), &p)
}

// Rollback points a name at a former image.
func (c *Client) Rollback(ctx context.Context, req RollbackRequest) (Image, error) {
	var i Image
	return i, c.http.Post(ctx, RollbackPath, unixhttp.JSON(req), &i)
}

func named(name string) string { return "?name=" + url.QueryEscape(name) }

// stream sends a request and reads its steps to the last one.
func (c *Client) stream(ctx context.Context, path string, body unixhttp.Body, each func(Progress)) error {
	return unixhttp.Stream(ctx, c.http, path, body, func(p Progress) (last bool, err error) {
		if p.Failed {
			return true, &Error{Message: p.Message, Hint: p.Hint}
		}
		each(p)
		return p.Done, nil
	})
}
