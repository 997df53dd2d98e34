package launcherbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Names of version 0.1. During an upgrade hub and launcher are of different versions: from the launcher's restart until
// the hub has been reloaded, which may fail and then lasts until an administrator acts; and before it, if the hub is
// restarted first. So the launcher answers to both names of an operation and sends both signals, and the client tries
// the older name where the launcher does not know today's. The client does not hear the older launcher's signal: a
// server's unexpected end is noticed when the launcher has been restarted. They go with version 0.3.

// OlderSignal is today's ChangedSignal without what List has of the server, D-Bus type ssssi: user, server, state,
// result, exit. The client of today does not subscribe to it.
const OlderSignal = "Changed"

// OlderBody returns the arguments of OlderSignal.
func (e Event) OlderBody() []any {
	return []any{e.Key.User.String(), e.Key.Server.String(), string(e.State), e.Result, e.Exit}
}

// OlderName returns the name that a renamed operation had; "" for one that was not renamed.
func OlderName(operation string) string {
	switch operation {
	case "Persistent":
		return "Kept"
	case "DiskUse":
		return "Usage"
	}
	return ""
}

// olderGet is Get of a launcher that has only List.
func (c *Client) olderGet(ctx context.Context, key ident.Key) (Server, error) {
	all, err := c.List(ctx)
	if err != nil {
		return Server{}, err
	}
	for _, s := range all {
		if s.Key == key {
			return s, nil
		}
	}
	return Server{}, &Error{Code: NotFound, Message: fmt.Sprintf("server %s does not run", key)}
}

// unknownMethod reports whether an error says that the launcher has no operation of that name.
func unknownMethod(err error) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == "org.freedesktop.DBus.Error.UnknownMethod"
}
