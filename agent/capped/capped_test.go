package capped

import (
	"io"
	"strings"
	"testing"
)

func TestBuffer(t *testing.T) {
	b := New(5)
	if n, err := b.Write([]byte("12345")); n != 5 || err != nil || b.Err() != nil {
		t.Fatalf("as much as it holds: %d, %v, %v", n, err, b.Err())
	}
	if n, err := b.Write([]byte("6")); n != 0 || err == nil || b.Err() == nil {
		t.Errorf("one byte more: %d, %v, %v", n, err, b.Err())
	}
	if _, err := b.Write(nil); err == nil {
		t.Error("a write after one that was refused succeeds")
	}
	if string(b.Bytes()) != "12345" {
		t.Errorf("it holds %q", b.Bytes())
	}
	// io.Copy takes ReadFrom where there is one.
	long := New(5)
	if _, err := io.Copy(long, strings.NewReader("123456")); err == nil || len(long.Bytes()) > 5 {
		t.Errorf("copied %q, %v", long.Bytes(), err)
	}
}
