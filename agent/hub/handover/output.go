package handover

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	tailBytes  = 8 << 10         // of a new process's output, recorded for an error
	tailLines  = 20              // of it, shown in the error
	outputWait = 2 * time.Second // for the rest of the output of a process that ended
)

// output forwards a new process's standard error and records its end.
type output struct {
	done chan struct{}

	mu   sync.Mutex
	tail []byte
}

// record copies from to onto, until from ends, which it does when the new
// process takes its real standard error or ends.
func record(from, onto *os.File) *output {
	o := &output{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		defer func() { _ = from.Close() }()
		// An error on standard error cannot be reported anywhere. A failed write must not stop
		// the reading, or the new process would block or die.
		_, _ = io.Copy(io.MultiWriter(o, ignoring{onto}), from)
	}()
	return o
}

// Write records the end of the output.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, p...)
	if extra := len(o.tail) - tailBytes; extra > 0 {
		o.tail = append(o.tail[:0], o.tail[extra:]...)
	}
	return len(p), nil
}

// wait waits for the end of the output, but at most outputWait: a process's children may hold it
// open.
func (o *output) wait() {
	select {
	case <-o.done:
	case <-time.After(outputWait):
	}
}

// last returns the last lines for the end of an error text, empty when there
// are none.
func (o *output) last() string {
	o.wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if text := lastLines(string(o.tail), tailLines); text != "" {
		return "; it wrote last:\n" + text
	}
	return ""
}

// ignoring is a writer that ignores errors.
type ignoring struct{ w io.Writer }

func (i ignoring) Write(p []byte) (int, error) {
	_, _ = i.w.Write(p)
	return len(p), nil
}
