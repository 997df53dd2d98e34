package access

import (
	"sync"
	"testing"
)

// TestChanges checks that nobody misses a change, whether it comes before or while they wait.
func TestChanges(t *testing.T) {
	c := NewChanges()
	seen := c.Count()
	waiting := c.Since(seen)
	select {
	case <-waiting:
		t.Fatal("a change before the first")
	default:
	}
	c.Notify()
	<-waiting
	<-c.Since(seen)
	if c.Count() == seen {
		t.Error("the change is not counted")
	}
	select {
	case <-c.Since(c.Count()):
		t.Error("a change after the last")
	default:
	}
}

// TestChangesConcurrently has many announce and as many wait.
func TestChangesConcurrently(t *testing.T) {
	c := NewChanges()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			before := c.Count()
			c.Notify()
			<-c.Since(before)
		})
	}
	all.Wait()
	if n := c.Count(); n != 20 {
		t.Errorf("%d changes of 20", n)
	}
}
