package gpus

import (
	"fmt"
	"math"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// Lent describes to how many servers a device is lent, for people.
func Lent(g backend.Device) string {
	switch {
	case g.Sharing == backend.Open:
		return "open to all"
	case g.Sharing == backend.Exclusive:
		return "one server"
	case g.Places == 0:
		return printable.Line(string(g.Sharing), maxWord) // a launcher newer than this hub
	default:
		return fmt.Sprintf("%d of %d places taken", len(g.Holders), g.Places)
	}
}

// Whole returns a share in whole percent. More than nothing is at least one, and less than all at most 99, so that a
// device that does a little is not shown as idle.
func Whole(share float64) int {
	n := int(math.Round(100 * share))
	switch {
	case share > 0 && n == 0:
		return 1
	case share < 1 && n == 100:
		return 99
	}
	return n
}

// Size writes bytes for people.
func Size(bytes uint64) string { return disk.Size(int64(min(bytes, math.MaxInt64))) }
