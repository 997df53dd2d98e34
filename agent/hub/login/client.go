package login

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// answerTime bounds a request to the provider, its answer's body included. A person waits for it.
	answerTime = 10 * time.Second
	// maxAnswer bounds the body of an answer, in bytes. Metadata, keys and claims need far less.
	maxAnswer = 1 << 20
)

var errAnswerTooLong = errors.New("the sign-in server's answer is longer than 1 MiB")

// newClient returns a client for the provider, which may be slow, broken or hostile.
func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{Timeout: answerTime, Transport: bounded{t}}
}

// bounded fails where the body of an answer is too long: go-oidc and oauth2 read whole bodies.
type bounded struct{ next http.RoundTripper }

// RoundTrip sends a request.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, maxAnswer}
	}
	return resp, err
}

// boundedBody is a body of which left bytes may still be read.
type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read fails with errAnswerTooLong after the last byte that may be read.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errAnswerTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n + int(b.left), errAnswerTooLong
	}
	return n, err
}
