package control

import (
	"context"
	"io"

	"github.com/gifford-lab/gifford-hub/agent/wire/unixhttp"
)

// Error is a failure in words for the operator. All methods of a Client return it.
type Error = unixhttp.Error

// Failure is the answer to a request that was refused or has failed.
type Failure = unixhttp.Failure

// Client speaks to the hub on this host.
type Client struct{ http *unixhttp.Client }

// New returns a client for the socket at a path. It does not connect yet.
func New(socket string) *Client {
	return &Client{unixhttp.New(socket, unixhttp.Service{
		Name: "the hub", Journal: "journalctl -u gifford-hub", Status: "systemctl status gifford-hub",
		Start:   "sudo systemctl enable --now gifford-hub.socket; then: systemctl status gifford-hub",
		Version: "is this command of the same version as the hub? systemctl reload gifford-hub",
	})}
}

// Servers lists the servers that are not stopped.
func (c *Client) Servers(ctx context.Context) ([]Server, error) {
	var all []Server
	return all, c.http.Get(ctx, ServersPath, &all)
}

// Start starts a server and calls each for every step, the last one included. It returns nil when the server is ready.
func (c *Client) Start(ctx context.Context, req StartRequest, each func(Progress)) error {
	return unixhttp.Stream(ctx, c.http, StartPath, unixhttp.JSON(req), func(p Progress) (last bool, err error) {
		each(p)
		if p.Failed {
			return true, &Error{Message: p.Message, Hint: p.Hint}
		}
		return p.Ready, nil
	})
}

// Stop ends a server and returns when its unit is gone.
func (c *Client) Stop(ctx context.Context, req StopRequest) error {
	return c.http.Post(ctx, StopPath, unixhttp.JSON(req), nil)
}

// Shell writes a shell's beginning or end to the hub's log.
func (c *Client) Shell(ctx context.Context, s Shell) error {
	return c.http.Post(ctx, ShellPath, unixhttp.JSON(s), nil)
}

// Reset removes the persistent container of a server.
func (c *Client) Reset(ctx context.Context, req ResetRequest) error {
	return c.http.Post(ctx, ResetPath, unixhttp.JSON(req), nil)
}

// Reload changes to the installed binary and the settings on disk, and returns when the new process serves. After an
// error the old process goes on.
func (c *Client) Reload(ctx context.Context) error {
	return c.http.Post(ctx, ReloadPath, unixhttp.Body{}, nil)
}

// Status returns the hub's state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.http.Get(ctx, StatusPath, &s)
}

// Token makes an API token for a user.
func (c *Client) Token(ctx context.Context, req TokenRequest) (TokenAnswer, error) {
	var t TokenAnswer
	return t, c.http.Post(ctx, TokenPath, unixhttp.JSON(req), &t)
}

// Backup writes a consistent copy of the hub's database to w. An error of w is in the chain of the one returned.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	return c.http.Copy(ctx, BackupPath, w)
}
