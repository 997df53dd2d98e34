package gpuwatch

import (
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// history is what was measured in the last hour, by device.
type history map[string][]minute

// minute sums up what was measured in a minute.
type minute struct {
	at           time.Time
	n            int
	busy, memory float64
	top          gpu.Load
}

const hour = 60 * time.Minute

// add notes a measurement and returns the average and the highest of the hour.
func (h history) add(device string, now time.Time, l gpu.Load) (average, highest gpu.Load) {
	all := slices.DeleteFunc(h[device], func(m minute) bool { return now.Sub(m.at) >= hour })
	if l.Known {
		at := now.Truncate(time.Minute)
		if len(all) == 0 || !all[len(all)-1].at.Equal(at) {
			all = append(all, minute{at: at})
		}
		m := &all[len(all)-1]
		m.n, m.busy, m.memory = m.n+1, m.busy+l.Busy, m.memory+float64(l.Memory)
		m.top = gpu.Load{Known: true, Busy: max(m.top.Busy, l.Busy), Memory: max(m.top.Memory, l.Memory)}
	}
	h[device] = all
	var busy, memory float64
	for _, m := range all {
		busy, memory = busy+m.busy/float64(m.n), memory+m.memory/float64(m.n)
		highest = gpu.Load{Known: true, Busy: max(highest.Busy, m.top.Busy), Memory: max(highest.Memory, m.top.Memory)}
	}
	if n := float64(len(all)); n > 0 {
		average = gpu.Load{Known: true, Busy: busy / n, Memory: uint64(memory / n)}
	}
	return average, highest
}

// forget drops devices that have been gone for an hour.
func (h history) forget(now time.Time) {
	for device, all := range h {
		if len(all) == 0 || now.Sub(all[len(all)-1].at) >= hour {
			delete(h, device)
		}
	}
}
