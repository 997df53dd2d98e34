package unit

import "github.com/gifford-lab/gifford-hub/agent/ident"

// Slice is that of all units of members.
const Slice = "jupyter.slice"

// ViewUnit is the package's unit that makes the server's view of the images; it runs again for each start.
func ViewUnit(k ident.Key) string { return "gifford-view@" + k.String() + ".service" }

// UnviewUnit is the package's unit that removes the view.
func UnviewUnit(k ident.Key) string { return "gifford-unview@" + k.String() + ".service" }

// ResetUnit is the name of the unit that removes a server's persistent containers.
func ResetUnit(k ident.Key) string { return "gifford-reset-" + k.String() + ".service" }

// DiskUseUnit is the name of the unit that measures what a member's files take.
func DiskUseUnit(u ident.User) string { return "gifford-usage-" + u.String() + ".service" }

// SweepUnit is the package's unit that removes the retired socket directories of a member's servers.
func SweepUnit(u ident.User) string { return "gifford-sweep@" + u.String() + ".service" }
