// Package launcherbus is the D-Bus interface between the hub and the launcher: the types that cross it and the client.
// An operation has its types, their form on the bus (Row) and its call in one file. It is all that the two programs
// share, so it must never import the launcher, systemd or anything of the web.
package launcherbus

// Where the launcher is on the system bus.
const (
	BusName    = "org.giffordlab.Launcher1"
	ObjectPath = "/org/giffordlab/Launcher1"
	Interface  = "org.giffordlab.Launcher1"
)
