package disk

import "fmt"

// Size writes a number of bytes for people, in units of a thousand as disks are sold:
// "12.3 GB".
func Size(bytes int64) string {
	const units = "kMGTPE"
	if bytes < 1000 {
		return fmt.Sprintf("%d bytes", max(0, bytes))
	}
	v, unit := float64(bytes)/1000, 0
	for v >= 999.95 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, units[unit])
}
