package auditfile

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// file appends to the file by its name, each time opening it, so that logrotate(8) may move it away at any time.
type file struct {
	path string

	mu   sync.Mutex // guards torn
	torn bool       // the last line has no end
}

// mode lets the hub's group read.
const mode = 0o640

// Write appends one line.
func (f *file) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
	if err != nil {
		return 0, err
	}
	whole := line
	if f.torn {
		whole = append([]byte("\n"), line...)
	}
	n, err := out.Write(whole)
	if n > 0 {
		f.torn = n < len(whole)
	}
	return len(line), errors.Join(err, out.Close())
}

// perHour is how many records the file takes of one member's acts on their own, sign-ins and the like. A member who
// makes more could fill the disk with them.
const perHour = 1000

// quota counts the records of each user in the hour.
type quota struct {
	mu     sync.Mutex // guards the rest
	begun  time.Time  // of the hour
	counts map[string]int
}

// take reports whether one more record of a user fits, and whether it is the hour's last.
func (q *quota) take(user string, now time.Time) (ok, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if hour := now.Truncate(time.Hour); !hour.Equal(q.begun) {
		q.begun = hour
		clear(q.counts)
	}
	q.counts[user]++
	return q.counts[user] <= perHour, q.counts[user] == perHour
}

// sayEvery is how often the journal hears that the file cannot be written.
const sayEvery = time.Minute

// lost counts records that could not be written.
type lost struct {
	mu   sync.Mutex // guards the rest
	n    int
	said time.Time
}

// failed counts one, and reports whether it is time to say so.
func (l *lost) failed(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if l.n > 1 && now.Sub(l.said) < sayEvery {
		return false
	}
	l.said = now
	return true
}

// written returns how many were lost before one that was written.
func (l *lost) written() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.n
	l.n = 0
	return n
}
