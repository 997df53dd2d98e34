package imagekeeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// maxAnswer bounds an answer that is not a stream.
const maxAnswer = 16 << 20

// ErrUnreachable says that no keeper answers on this host.
var ErrUnreachable = errors.New("the image keeper does not answer")

// Error is a failure in words for people.
type Error struct {
	Message string
	Hint    string // the next step; may be empty
	Status  int    // of the keeper's answer; 0 when there was none
	Err     error  // may be nil
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Client speaks to the keeper on this host.
type Client struct {
	socket string
	http   *http.Client
}

// New makes a client for the socket at a path. It does not connect yet.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Images lists the images of the store. Errors of all methods are *Error.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	var list []Image
	return list, c.call(ctx, http.MethodGet, ImagesPath, nil, &list)
}

// Image tells all about the image of a name or of the beginning of an ID.
func (c *Client) Image(ctx context.Context, name string) (Detail, error) {
	var d Detail
	return d, c.call(ctx, http.MethodGet, ImagePath+"?name="+url.QueryEscape(name), nil, &d)
}

// Disk reports what the store takes.
func (c *Client) Disk(ctx context.Context) (Disk, error) {
	var d Disk
	return d, c.call(ctx, http.MethodGet, DiskPath, nil, &d)
}

// Ensure returns when the image of a profile is in the store, and calls each for every
// step.
func (c *Client) Ensure(ctx context.Context, profile string, each func(Progress)) error {
	return c.stream(ctx, EnsurePath, "application/json", jsonBody(EnsureRequest{profile}), each)
}

// Pull asks the registry for an image, or for all of the policy's when name is "".
func (c *Client) Pull(ctx context.Context, name string, each func(Progress)) error {
	return c.stream(ctx, PullPath, "application/json", jsonBody(PullRequest{name}), each)
}

// Import puts an image from an archive into the store under a name.
func (c *Client) Import(ctx context.Context, name string, archive io.Reader, each func(Progress)) error {
	return c.stream(ctx, ImportPath+"?name="+url.QueryEscape(name), "application/octet-stream", archive, each)
}

// Remove takes a name or an image out of the store.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, RemovePath, RemoveRequest{name}, nil)
}

// Prune removes what nobody needs.
func (c *Client) Prune(ctx context.Context, req PruneRequest) (Pruned, error) {
	var p Pruned
	return p, c.call(ctx, http.MethodPost, PrunePath, req, &p)
}

// Rollback returns a name back to a former image.
func (c *Client) Rollback(ctx context.Context, req RollbackRequest) (Image, error) {
	var i Image
	return i, c.call(ctx, http.MethodPost, RollbackPath, req, &i)
}

// stream sends a request and reads its steps to the last one.
func (c *Client) stream(ctx context.Context, path, kind string, send io.Reader, each func(Progress)) error {
	body, err := c.do(ctx, http.MethodPost, path, kind, send)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	for dec := json.NewDecoder(body); ; {
		var p Progress
		if err := dec.Decode(&p); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return &Error{Message: "the image keeper broke off", Hint: "journalctl -u gifford-images", Err: err}
		}
		if p.Failed {
			return &Error{Message: p.Message, Hint: p.Hint}
		}
		each(p)
		if p.Done {
			return nil
		}
	}
}

// call sends in, if any, and decodes the answer into out, if any.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var send io.Reader
	if in != nil {
		send = jsonBody(in)
	}
	body, err := c.do(ctx, method, path, "application/json", send)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(out); err != nil {
		return &Error{Message: "cannot understand the image keeper's answer", Hint: "systemctl restart gifford-images",
			Err: err}
	}
	return nil
}

// jsonBody encodes one of the package's requests, which cannot fail.
func jsonBody(v any) io.Reader {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and booleans only
	}
	return bytes.NewReader(b)
}

// do returns the body of an answer below 400.
func (c *Client) do(ctx context.Context, method, path, kind string, send io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gifford-images"+path, send)
	if err != nil {
		return nil, &Error{Message: "cannot make the request", Err: err}
	}
	req.Header.Set("Content-Type", kind)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer func() { _ = resp.Body.Close() }()
		return nil, refusal(resp)
	}
	return resp.Body, nil
}

// refusal reads the Failure of an answer.
func refusal(resp *http.Response) *Error {
	var f Failure
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&f)
	if err != nil || f.Message == "" {
		return &Error{Message: fmt.Sprintf("the image keeper answered %s and no reason", resp.Status),
			Hint: "journalctl -u gifford-images", Status: resp.StatusCode, Err: err}
	}
	return &Error{Message: f.Message, Hint: f.Hint, Status: resp.StatusCode}
}

// unreachable says why there is no connection.
func (c *Client) unreachable(err error) *Error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Error{Message: "only root may do this: cannot open " + c.socket, Hint: "run it with sudo", Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Message: "interrupted", Err: err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Message: "the image keeper does not run: nothing listens on " + c.socket,
			Hint: "systemctl status gifford-images.socket gifford-images.service",
			Err:  errors.Join(ErrUnreachable, err)}
	default:
		return &Error{Message: "cannot reach the image keeper: " + err.Error(), Hint: "systemctl status gifford-images",
			Err: errors.Join(ErrUnreachable, err)}
	}
}
