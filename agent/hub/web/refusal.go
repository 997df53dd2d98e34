package web

import (
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// reason returns why package actions refused; "" for nil and for any other error.
func reason(err error) actions.Reason {
	var f *actions.Refusal
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

// active reports whether an act was refused because a server is not stopped.
func active(err error) bool {
	switch reason(err) {
	case actions.Running, actions.Starting, actions.Stopping:
		return true
	}
	return false
}

// inOurWords puts an error of package actions into words for people. Objects that m may not see look like objects that
// do not exist.
func inOurWords(err error) error {
	var f *actions.Refusal
	if !errors.As(err, &f) {
		return backendWords(err)
	}
	switch f.Reason {
	case actions.LacksScope, actions.AdminsOnly, actions.Oneself, actions.NoUser, actions.NoServer, actions.NoGroup,
		actions.DefaultServer, actions.NotRunning, actions.SwitchedOff:
		return errNotFound()
	case actions.MayNotEnter:
		return &httpx.Error{Status: http.StatusForbidden, Public: f.Message, Hint: actions.LetIn}
	case actions.NothingToReset:
		return errNothingToReset()
	case actions.NamedServersOff:
		return errNamedServersOff()
	case actions.TooManyServers:
		return errTooManyServers(f.Name, int(f.Limit))
	case actions.TooLong:
		return httpx.Fail(http.StatusBadRequest, "%s is longer than %d bytes", ourName(f.Field), f.Limit)
	case actions.Unshowable:
		return httpx.Fail(http.StatusBadRequest, "%s holds a character that cannot be shown", ourName(f.Field))
	}
	return httpx.Fail(statusOf(f.Kind), "%s", f.Message)
}

// ourName is what pages call a text that package actions has refused.
func ourName(field string) string {
	if field == "note" {
		return "the note"
	}
	return "the name for people"
}

// statusOf is the status of a refusal that has no words of its own here.
func statusOf(k actions.Kind) int {
	switch k {
	case actions.Hidden, actions.NotFound, actions.Forbidden:
		return http.StatusNotFound
	case actions.Conflict:
		return http.StatusConflict
	case actions.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// backendWords shows the message of the backend to people, for whom it is made.
func backendWords(err error) error {
	var b *backend.Error
	if !errors.As(err, &b) {
		return err
	}
	return &httpx.Error{Status: http.StatusInternalServerError, Public: b.Message, Hint: b.Hint, Cause: err}
}

// errActive refuses what takes a stopped server.
func errActive(done string) error {
	return &httpx.Error{Status: http.StatusConflict, Public: "this server runs, so it cannot be " + done,
		Hint: "stop it first"}
}

// problem returns what is wrong with a form, for the page that has the form; ok is false for nil and for failures of
// the hub.
func problem(err error) (refused *httpx.Error, ok bool) {
	return refused, errors.As(err, &refused) && refused.Status < http.StatusInternalServerError
}
