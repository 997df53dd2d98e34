// Package unixhttp is the client of those who speak JSON over HTTP on a UNIX socket of this host: it sends a request,
// reads the answer or its stream, and puts every failure into words for people. It must never open a network
// connection, follow a redirect to another service or know what a request means.
package unixhttp

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

// maxAnswer bounds an answer that is not a stream, in bytes. A row for each server of a large lab is far below it.
const maxAnswer = 16 << 20

// ErrUnreachable is in the chain of an error if nothing answers on the socket.
var ErrUnreachable = errors.New("the service does not answer")

// Failure is the JSON of an answer to a request that was refused or has failed, with a status of 400 or above.
type Failure struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // the next step
}

// Error is a failure in words for people. All methods of a Client return it.
type Error struct {
	Message string
	Hint    string // the next step; may be empty
	Status  int    // HTTP status of the answer; 0 when there was none
	Err     error  // the cause; may be nil
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// NextStep returns the hint, for package hint.
func (e *Error) NextStep() string { return e.Hint }

// Service is who listens on a socket, in the words of errors. All fields are required.
type Service struct {
	Name    string // the subject of a sentence: "the hub"
	Journal string // command that shows its log: the step after a failure without a reason
	Status  string // command that shows its state: the step when it cannot be reached
	Start   string // the step when nothing listens
	Version string // the step when the answer cannot be understood, as from a service of another version
}

// Client speaks to one service on this host.
type Client struct {
	socket  string
	service Service
	http    *http.Client
}

// New returns a client for the socket at a path. It does not connect yet.
func New(socket string, service Service) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket, service, &http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Body is what a request carries. The zero value is an empty one.
type Body struct {
	kind string
	from io.Reader
}

// JSON returns a value as body. It must be one that encoding/json takes, as the requests of the wire packages are.
func JSON(v any) Body {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type of ours that cannot be encoded is a mistake in the program
	}
	return Body{"application/json", bytes.NewReader(text)}
}

// Bytes returns what r yields as body, unchanged.
func Bytes(r io.Reader) Body { return Body{"application/octet-stream", r} }

// Get asks for a value and decodes it into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodGet, path, Body{}, out)
}

// Post sends a request. It decodes the answer into out, unless that is nil.
func (c *Client) Post(ctx context.Context, path string, body Body, out any) error {
	return c.call(ctx, http.MethodPost, path, body, out)
}

// Copy writes the body of an answer to w, which may be of any length. Errors of w are returned as they are in the
// chain.
func (c *Client) Copy(ctx context.Context, path string, w io.Writer) error {
	answer, err := c.do(ctx, http.MethodGet, path, Body{})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if _, err := io.Copy(w, answer); err != nil {
		return c.brokeOff(ctx, err)
	}
	return nil
}

// Stream sends a request and calls each for every JSON value of the answer until it reports the last one or returns an
// error, which Stream returns as it is. An answer that ends before is an error.
func Stream[P any](ctx context.Context, c *Client, path string, body Body,
	each func(P) (last bool, err error)) error {
	answer, err := c.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	for values := json.NewDecoder(answer); ; {
		var value P
		if err := values.Decode(&value); err != nil {
			return c.brokeOff(ctx, err)
		}
		if last, err := each(value); last || err != nil {
			return err
		}
	}
}

func (c *Client) call(ctx context.Context, method, path string, body Body, out any) error {
	answer, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(out); err != nil {
		return &Error{Message: fmt.Sprintf("cannot understand the answer of %s", c.service.Name),
			Hint: c.service.Version, Err: err}
	}
	return nil
}

// do returns the body of an answer with a status below 400.
func (c *Client) do(ctx context.Context, method, path string, body Body) (io.ReadCloser, error) {
	// The host is for the request's form only: the socket decides who gets it.
	req, err := http.NewRequestWithContext(ctx, method, "http://gifford"+path, body.from)
	if err != nil {
		return nil, &Error{Message: "cannot make the request", Err: err}
	}
	if body.kind != "" {
		req.Header.Set("Content-Type", body.kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer func() { _ = resp.Body.Close() }()
		return nil, c.refusal(resp)
	}
	return resp.Body, nil
}

// refusal reads the Failure of an answer.
func (c *Client) refusal(resp *http.Response) *Error {
	var f Failure
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&f)
	if err != nil || f.Message == "" {
		return &Error{Message: fmt.Sprintf("%s answered %s and no reason", c.service.Name, resp.Status),
			Hint: c.service.Journal, Status: resp.StatusCode, Err: err}
	}
	return &Error{Message: f.Message, Hint: f.Hint, Status: resp.StatusCode}
}

// brokeOff is the error of an answer that was not whole. If the caller has gone away that is the cause.
func (c *Client) brokeOff(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return &Error{Message: "interrupted", Err: ctx.Err()}
	}
	return &Error{Message: c.service.Name + " broke off while it was answering", Hint: c.service.Journal, Err: err}
}

// unreachable says why there is no connection.
func (c *Client) unreachable(ctx context.Context, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return &Error{Message: "interrupted", Err: errors.Join(ctx.Err(), err)}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Message: "only root may do this: cannot open " + c.socket, Hint: "run it with sudo", Err: err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Message: fmt.Sprintf("%s does not run: nothing listens on %s", c.service.Name, c.socket),
			Hint: c.service.Start, Err: errors.Join(ErrUnreachable, err)}
	}
	return &Error{Message: fmt.Sprintf("cannot reach %s: %v", c.service.Name, err), Hint: c.service.Status,
		Err: errors.Join(ErrUnreachable, err)}
}
