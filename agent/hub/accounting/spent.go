package accounting

import (
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Counters is a reading of a server's control group.
type Counters struct {
	CPU    time.Duration // of processor time since the server's start
	Memory int64         // bytes in use; below 0 when unknown
}

// observation is the state of a running server at one moment.
type observation struct {
	key      ident.Key
	started  time.Time // of its unit
	at       time.Time
	gpus     float64 // devices that it holds; below 0: unknown now
	counters *Counters
}

// next returns the reading that follows last and what was used in between, by month. Time without an earlier reading of
// the same run counts from the start of the unit, whose devices are lent for its whole life. It returns nil when no
// time has passed or when the number of devices is unknown.
func next(last store.Reading, known bool, o observation) (*store.Reading, []store.Spent) {
	if !known || !last.Started.Equal(o.started) {
		last = store.Reading{Key: o.key, Started: o.started, At: o.started, GPUs: -1}
	}
	if o.gpus < 0 {
		o.gpus = last.GPUs
	}
	if o.gpus < 0 || !o.at.After(last.At) {
		return nil, nil
	}
	r := store.Reading{Key: o.key, Started: o.started, At: o.at, GPUs: o.gpus, CPU: last.CPU, Memory: last.Memory}
	cpu := 0.0
	if o.counters != nil {
		r.CPU = o.counters.CPU.Seconds()
		if o.counters.Memory >= 0 {
			r.Memory = o.counters.Memory
		}
		cpu = r.CPU - last.CPU
		if cpu < 0 {
			cpu = r.CPU // the counter started again
		}
	}
	seconds := o.at.Sub(last.At).Seconds()
	whole := store.Spent{User: o.key.User, GPU: o.gpus * seconds, CPU: cpu,
		Memory: float64(last.Memory+r.Memory) / 2 * seconds, Server: seconds}
	return &r, split(whole, last.At, o.at)
}

// MonthForm is how a month is written, in package time's form.
const MonthForm = "2006-01"

// month is the calendar month of a moment, UTC.
func month(t time.Time) string { return t.UTC().Format(MonthForm) }

// split returns each month between two moments and its share of what was used in that time.
func split(whole store.Spent, from, to time.Time) []store.Spent {
	var all []store.Spent
	total := to.Sub(from).Seconds()
	for at := from.UTC(); at.Before(to); {
		end := time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		if end.After(to) {
			end = to
		}
		share := end.Sub(at).Seconds() / total
		all = append(all, store.Spent{User: whole.User, Month: month(at), GPU: whole.GPU * share,
			CPU: whole.CPU * share, Memory: whole.Memory * share, Server: whole.Server * share})
		at = end
	}
	return all
}
