// Package capped collects what another program writes, up to a bound. It must never grow beyond it: the program, such
// as a vendor's tool or a plug-in of the name service, is not ours.
package capped

import (
	"bytes"
	"fmt"
)

// Buffer is an io.Writer that holds at most a number of bytes. A write beyond it fails, which ends a program that
// writes there. Its zero value holds nothing. The bytes.Buffer is not embedded: its ReadFrom would know no bound.
type Buffer struct {
	most int
	held bytes.Buffer
	over bool
}

// New returns a Buffer that holds at most `most` bytes.
func New(most int) *Buffer { return &Buffer{most: most} }

// Write takes p as a whole, or fails with Err and takes nothing of it.
func (b *Buffer) Write(p []byte) (int, error) {
	if b.over || b.held.Len()+len(p) > b.most {
		b.over = true
		return 0, b.Err()
	}
	return b.held.Write(p)
}

// Err returns an error if a write was refused, however the writing program took it; nil otherwise.
func (b *Buffer) Err() error {
	if !b.over {
		return nil
	}
	return fmt.Errorf("more than %d bytes were written", b.most)
}

// Bytes returns what was written. The slice is valid until the next Write.
func (b *Buffer) Bytes() []byte { return b.held.Bytes() }
