package systemd

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// JobError is the result of a job that was not done.
type JobError struct {
	What   string // "start jupyter-alice.service"
	Result string // "failed", "canceled", "timeout", "dependency", "skipped" …
}

func (e *JobError) Error() string { return e.What + ": the job's result is " + e.Result }

// Wait waits for the end of a job that is under way. Only the result "done" is a success; another one is a *JobError.
// An error that is none says that the result is not known.
type Wait func(ctx context.Context) error

// job is what a method of systemd's that makes a job is called with.
type job struct {
	verb, unit string // "start", "jupyter-alice.service"
	method     string
	args       []any
	want       State // of the unit, when the job is done
}

func (j job) String() string { return j.verb + " " + j.unit }

// pending is a job that has not ended. Conn.mu guards path and results.
type pending struct {
	job
	path dbus.ObjectPath // of the job; "" until systemd has answered
	next <-chan struct{} // closed when there is another connection than before systemd was asked
	// results are those of all jobs of the unit from before systemd was asked: a job may end before the answer that
	// names it is read.
	results map[dbus.ObjectPath]string
	news    chan struct{} // has one when there is another result
}

// job calls a method that makes a job.
func (c *Conn) job(ctx context.Context, j job) (Wait, error) {
	p := &pending{job: j, results: map[dbus.ObjectPath]string{}, news: make(chan struct{}, 1)}
	c.mu.Lock()
	p.next = c.next
	c.waiting[p] = true
	c.mu.Unlock()
	var path dbus.ObjectPath
	if err := c.call(ctx, managerPath, managerInterface+"."+j.method, &path, j.args...); err != nil {
		c.forget(p)
		return nil, fmt.Errorf("%s: %w", j, err)
	}
	c.name(p, path)
	return func(ctx context.Context) error {
		defer c.forget(p)
		word, err := c.result(ctx, p)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", j, err)
		case word != "done":
			return &JobError{j.String(), word}
		}
		return nil
	}, nil
}

// name notes which of the unit's jobs it is.
func (c *Conn) name(p *pending, path dbus.ObjectPath) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.path = path
	if _, ended := p.results[path]; ended {
		delete(c.waiting, p)
	}
}

func (c *Conn) forget(p *pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, p)
}

// result waits for a job's result. systemd sends none to a connection that was made after the job's end, so a new
// connection is a reason to ask for the unit.
func (c *Conn) result(ctx context.Context, p *pending) (string, error) {
	for next := p.next; ; {
		c.mu.Lock()
		word, known := p.results[p.path]
		current := c.next
		c.mu.Unlock()
		if known {
			return word, nil
		}
		select {
		case <-p.news:
		case <-next:
			next = current
			if word, err := c.outcomeOf(ctx, p); word != "" || err != nil {
				return word, err
			}
		case <-c.lost:
			return "", ErrLost
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// outcomeOf asks systemd for the unit of a job and returns what became of the job; "" while there is one.
func (c *Conn) outcomeOf(ctx context.Context, p *pending) (string, error) {
	u, err := c.Get(ctx, p.unit)
	gone := errors.Is(err, ErrNotLoaded)
	switch {
	case err != nil && !gone:
		return "", err
	case u.Queued:
		return "", nil
	case u.State == p.want, p.want == Inactive && (gone || u.State == Failed):
		return "done", nil
	case u.State == Failed:
		return "failed", nil
	}
	return "", fmt.Errorf("systemd was executed again, and the job's result is lost: %w", ErrLost)
}

// removal is the signal JobRemoved, D-Bus type uoss.
type removal struct {
	job          dbus.ObjectPath
	unit, result string
}

func readRemoved(body []any) (removal, bool) {
	if len(body) != 4 {
		return removal{}, false
	}
	path, isPath := body[1].(dbus.ObjectPath)
	unit, isUnit := body[2].(string)
	result, isResult := body[3].(string)
	return removal{path, unit, result}, isPath && isUnit && isResult
}

// removed hands a job's result to who waits for it.
func (c *Conn) removed(r removal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.waiting {
		if p.unit != r.unit {
			continue
		}
		p.results[r.job] = r.result
		if p.path == r.job {
			delete(c.waiting, p) // also where nobody waits for it
		}
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}
