package imagestore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestFIFOMeanwhile checks that nothing waits for a FIFO that the store's owner puts in a list's place meanwhile.
func TestFIFOMeanwhile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "overlay-images", "images.json")
	if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	end, swapped := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				swapped <- nil
				return
			default:
			}
			err := os.WriteFile(name+".new", []byte("[]"), 0o600)
			if i%2 == 1 {
				err = errors.Join(os.Remove(name+".new"), syscall.Mkfifo(name+".new", 0o600))
			}
			if err := errors.Join(err, os.Rename(name+".new", name)); err != nil {
				swapped <- err
				return
			}
		}
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for range 5000 {
			if s, err := Open(dir); err == nil {
				s.Close()
			}
		}
	}()
	select {
	case <-read:
	case <-time.After(20 * time.Second):
		t.Error("it waits for a FIFO")
	}
	close(end)
	if err := <-swapped; err != nil {
		t.Error(err)
	}
}
