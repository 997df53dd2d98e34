package hub

import (
	"context"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// longWork is what requests began and outlasts them, such as the pull of an image. It goes
// on after a newer process has taken over, while this one serves what is open.
type longWork struct {
	ctx  context.Context // ends with close
	end  context.CancelFunc
	each *sync.WaitGroup
}

func newLongWork() longWork {
	ctx, end := context.WithCancel(context.Background())
	return longWork{ctx, end, &sync.WaitGroup{}}
}

func (l longWork) run(work func(ctx context.Context)) { l.each.Go(func() { work(l.ctx) }) }

// close ends the work and waits for that.
func (l longWork) close() {
	if l.end == nil {
		return // none was begun
	}
	l.end()
	l.each.Wait()
}

// older tells of servers whether they run on an older image than their next start would.
func (h *instance) older(ctx context.Context) func(servers.Server) (older, known bool) {
	images, err := h.launcher.Images(ctx)
	if err != nil {
		h.log.Warn("cannot tell which images servers run on", "event", "images-unknown", "error", err.Error())
	}
	profiles, _ := h.launcher.Profiles(ctx) // without them only the default one is not known
	return func(s servers.Server) (older, known bool) { return images.Older(s.Key, s.Profile, profiles) }
}
