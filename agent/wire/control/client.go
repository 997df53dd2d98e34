package control

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
	"syscall"
)

// maxAnswer bounds an answer that is not a stream. A line for each server of a large lab
// is far below it.
const maxAnswer = 16 << 20

// Error is a failure in words for the operator.
type Error struct {
	Message string
	Hint    string // the next step; may be empty
	Status  int    // of the hub's answer; 0 when there was none
	Err     error  // may be nil
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Client speaks to the hub on this host.
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

// Servers lists the servers that are not stopped. An error is an *Error.
func (c *Client) Servers(ctx context.Context) ([]Server, error) {
	var list []Server
	return list, c.call(ctx, http.MethodGet, ServersPath, nil, &list)
}

// Start starts a server and calls each for every step. It returns nil when the server is
// ready. An error is an *Error.
func (c *Client) Start(ctx context.Context, req StartRequest, each func(Progress)) error {
	body, err := c.do(ctx, http.MethodPost, StartPath, req)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	for dec := json.NewDecoder(body); ; {
		var p Progress
		if err := dec.Decode(&p); err != nil {
			return &Error{Message: "the hub broke off while it was starting the server",
				Hint: "journalctl -u gifford-hub", Err: err}
		}
		each(p)
		switch {
		case p.Failed:
			return &Error{Message: p.Message, Hint: p.Hint}
		case p.Ready:
			return nil
		}
	}
}

// Stop ends a server and returns when its unit is gone. An error is an *Error.
func (c *Client) Stop(ctx context.Context, req StopRequest) error {
	return c.call(ctx, http.MethodPost, StopPath, req, nil)
}

// Shell tells the hub's log of a shell. An error is an *Error.
func (c *Client) Shell(ctx context.Context, s Shell) error {
	return c.call(ctx, http.MethodPost, ShellPath, s, nil)
}

// Reset removes what was kept of a server. An error is an *Error.
func (c *Client) Reset(ctx context.Context, req ResetRequest) error {
	return c.call(ctx, http.MethodPost, ResetPath, req, nil)
}

// Reload changes to the installed binary and the settings on disk, and returns when the
// new process serves. An error is an *Error; the old process then goes on.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, ReloadPath, nil, nil)
}

// Status asks the hub about itself. An error is an *Error.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, http.MethodGet, StatusPath, nil, &s)
}

// Token makes an API token for a user. An error is an *Error.
func (c *Client) Token(ctx context.Context, req TokenRequest) (TokenAnswer, error) {
	var t TokenAnswer
	return t, c.call(ctx, http.MethodPost, TokenPath, req, &t)
}

// Backup writes a consistent copy of the hub's database to w. An error is an *Error, or
// w's own.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	body, err := c.do(ctx, http.MethodGet, BackupPath, nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if _, err := io.Copy(w, body); err != nil {
		return &Error{Message: "the hub broke off while it was sending its database", Hint: "journalctl -u gifford-hub",
			Err: err}
	}
	return nil
}

// call sends in, if any, and decodes the answer into out, if any.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	body, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(out); err != nil {
		return &Error{Message: "cannot understand the hub's answer",
			Hint: "is this command of the same version as the hub? systemctl reload gifford-hub", Err: err}
	}
	return nil
}

// do returns the body of an answer below 400.
func (c *Client) do(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var send bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&send).Encode(in); err != nil {
			return nil, &Error{Message: "cannot make the request", Err: err}
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://gifford-hub"+path, &send)
	if err != nil {
		return nil, &Error{Message: "cannot make the request", Err: err}
	}
	req.Header.Set("Content-Type", "application/json")
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
		return &Error{Message: fmt.Sprintf("the hub answered %s and no reason", resp.Status),
			Hint: "journalctl -u gifford-hub", Status: resp.StatusCode, Err: err}
	}
	return &Error{Message: f.Message, Hint: f.Hint, Status: resp.StatusCode}
}

// unreachable says why there is no connection.
func (c *Client) unreachable(err error) *Error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Error{Message: "only root may do this: cannot open " + c.socket, Hint: "run it with sudo", Err: err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Message: "the hub does not run: nothing listens on " + c.socket,
			Hint: "sudo systemctl enable --now gifford-hub.socket; then: systemctl status gifford-hub", Err: err}
	case errors.Is(err, context.Canceled):
		return &Error{Message: "interrupted", Err: err}
	default:
		return &Error{Message: "cannot reach the hub: " + err.Error(), Hint: "systemctl status gifford-hub", Err: err}
	}
}
