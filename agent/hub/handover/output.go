package handover

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	keptOutput = 8 << 10         // bytes of a new process's output kept for an error
	keptLines  = 20              // and lines shown of it
	outputWait = 2 * time.Second // for the rest of the output of a process that ended
)

// output copies a new process's standard error on and keeps its end.
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
		// Nobody is left to hear of an error on standard error. A failed write
		// must not stop the reading, or the new process would block or die.
		_, _ = io.Copy(io.MultiWriter(o, ignoring{onto}), from)
	}()
	return o
}

// Write keeps the end of what passes.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, p...)
	if extra := len(o.tail) - keptOutput; extra > 0 {
		o.tail = append(o.tail[:0], o.tail[extra:]...)
	}
	return len(p), nil
}

// wait waits a little for the output to end: a process's children may hold
// it open longer than that.
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
	if text := lastLines(string(o.tail), keptLines); text != "" {
		return "; it wrote last:\n" + text
	}
	return ""
}

// ignoring is a writer that takes everything.
type ignoring struct{ w io.Writer }

func (i ignoring) Write(p []byte) (int, error) {
	_, _ = i.w.Write(p)
	return len(p), nil
}
