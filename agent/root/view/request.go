package view

import (
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// request reads what the launcher has left for this server, in a directory of root's alone.
func (h Host) request(key ident.Key) (contract.ViewRequest, error) {
	data, err := os.ReadFile(path.Join(h.RunDir, contract.ViewRequestName(key)))
	if err != nil {
		return contract.ViewRequest{}, hint.With(fmt.Errorf("nobody has asked for a view for server %s: %w", key, err),
			"servers are started by the launcher")
	}
	r, err := contract.ReadViewRequest(data)
	if err != nil {
		return r, fmt.Errorf("cannot use the request for server %s: %w", key, err)
	}
	return r, nil
}

// How long a start waits while images are removed.
const (
	lockTime  = time.Minute
	lockEvery = 50 * time.Millisecond
)

// lock keeps the image keeper from removing images while one is found and recorded. It waits as long as patience for a
// removal under way.
func (h Host) lock(patience time.Duration) (unlock func(), err error) {
	f, err := os.Open(path.Join(h.RunDir, "images", "lock"))
	if err != nil {
		return nil, fmt.Errorf("cannot lock the images: %w", err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(lockEvery) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			_ = f.Close()
			return nil, hint.With(fmt.Errorf("cannot lock the images: %w", err),
				"is \"gifford-hub images prune\" or rm under way? journalctl -u gifford-images")
		}
	}
}
