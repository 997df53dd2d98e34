package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// errHidden is JupyterHub's answer where a filter hides what the path names, whether it
// is there or not.
func errHidden() *httpx.Error {
	return httpx.Fail(http.StatusNotFound, "No access to resources or resources not found")
}

// errLacks is JupyterHub's answer to a caller that has none of the scopes on anything.
func errLacks(anyOf ...string) *httpx.Error {
	return httpx.Fail(http.StatusForbidden, "Action is not authorized with current scopes; requires any of [%s]",
		strings.Join(anyOf, ", "))
}

// refused reports whether an error is a refusal for one of the reasons.
func refused(err error, reasons ...actions.Reason) bool {
	var f *actions.Refusal
	if !errors.As(err, &f) {
		return false
	}
	for _, reason := range reasons {
		if f.Reason == reason {
			return true
		}
	}
	return false
}

// instead returns other for a refusal for one of the reasons: a route's own words. All other errors stay.
func instead(err error, other *httpx.Error, reasons ...actions.Reason) error {
	if refused(err, reasons...) {
		return other
	}
	return err
}

// inOurWords puts a refusal into JupyterHub's status and words. All other errors stay.
func inOurWords(err error) error {
	var f *actions.Refusal
	if !errors.As(err, &f) {
		return err
	}
	if e := rightsWords(f); e != nil {
		return e
	}
	if e := serverWords(f); e != nil {
		return e
	}
	if e := objectWords(f); e != nil {
		return e
	}
	return httpx.Fail(statusOf(f.Kind), "%s", f.Message)
}

// statusOf is the status of a refusal that has no words of its own here.
func statusOf(k actions.Kind) int {
	switch k {
	case actions.Hidden, actions.NotFound:
		return http.StatusNotFound
	case actions.Forbidden:
		return http.StatusForbidden
	case actions.Conflict:
		return http.StatusConflict
	case actions.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// rightsWords has the refusals of what the caller lacks.
func rightsWords(f *actions.Refusal) *httpx.Error {
	switch f.Reason {
	case actions.LacksScope:
		switch {
		case f.Kind == actions.Hidden:
			return errHidden()
		case f.Scope == "read:groups:name":
			return httpx.Fail(http.StatusForbidden, "Need scope 'read:groups:name' to share with groups by name")
		case f.Scope == "read:users:name":
			return httpx.Fail(http.StatusForbidden, "Need scope 'read:users:name' to share with users by name")
		}
		return errLacks(f.Scope)
	case actions.AdminsOnly:
		switch {
		case f.Field != "":
			return httpx.Fail(http.StatusBadRequest, "only an administrator can make a service an administrator")
		case f.Name != "":
			return httpx.Fail(http.StatusForbidden, "Only admins can modify other admins")
		}
		return httpx.Fail(http.StatusForbidden, "Only admins can grant admin permissions")
	case actions.ExceedsRights:
		if f.Kind == actions.Forbidden {
			return httpx.Fail(http.StatusForbidden, "Do not have permission to grant share with scope %s", f.Name)
		}
	case actions.MayNotEnter:
		return &httpx.Error{Status: http.StatusForbidden, Public: f.Message, Hint: actions.LetIn}
	case actions.SwitchedOff:
		return httpx.Fail(http.StatusForbidden, "the hub cannot be shut down through the API")
	}
	return nil
}

// serverWords has the refusals about servers.
func serverWords(f *actions.Refusal) *httpx.Error {
	user, server, _ := strings.Cut(f.Name, ":")
	switch f.Reason {
	case actions.NoServer:
		return httpx.Fail(http.StatusNotFound, "%s has no server named '%s'", user, server)
	case actions.ServerExists:
		return httpx.Fail(http.StatusConflict, "User %s already has server %s", user, server)
	case actions.Running:
		return httpx.Fail(http.StatusBadRequest, "%s is already running", f.Name)
	case actions.Stopping:
		return httpx.Fail(http.StatusBadRequest, "%s is pending stop", f.Name)
	case actions.NamedServersOff:
		return httpx.Fail(http.StatusBadRequest, "Named servers are not enabled.")
	case actions.TooManyServers:
		return httpx.Fail(http.StatusBadRequest, "User %s already has the maximum of %d named servers. One must be "+
			"deleted before a new server can be created", f.Name, f.Limit)
	case actions.Persistent:
		return &httpx.Error{Status: http.StatusConflict, Public: f.Message,
			Hint: "reset the server on the hub's home page, or delete it"}
	}
	return nil
}

// objectWords has the refusals about users, groups, codes and services.
func objectWords(f *actions.Refusal) *httpx.Error {
	switch f.Reason {
	case actions.NoUser:
		return httpx.Fail(statusOf(f.Kind), "No such user: %s", f.Name)
	case actions.NoGroup:
		return httpx.Fail(statusOf(f.Kind), "No such group: %s", f.Name)
	case actions.NoCode:
		return httpx.Fail(http.StatusNotFound, "No matching code found")
	case actions.NoService:
		return httpx.Fail(http.StatusNotFound, "Service %s does not exist", f.Name)
	case actions.GroupExists:
		return httpx.Fail(http.StatusConflict, "Group %s already exists", f.Name)
	case actions.ServiceExists:
		return httpx.Fail(http.StatusConflict, "Service %s already exists", f.Name)
	case actions.Declared:
		return httpx.Fail(http.StatusMethodNotAllowed, "Service %s is not modifiable at runtime", f.Name)
	case actions.BadService:
		if f.Err != nil {
			return httpx.Fail(http.StatusBadRequest, "Failed to create service %s: %s", f.Name, f.Message)
		}
	}
	return nil
}
