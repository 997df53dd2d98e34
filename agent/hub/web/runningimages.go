package web

import (
	"context"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// How long an answer of the launcher about images is good for, and how long a page waits
// for one.
const (
	imagesFresh = 5 * time.Second
	imagesWait  = time.Second
)

// knownImages is the launcher's last word on which images servers run on. Asking it reads
// files of every server, and pages are asked for often.
type knownImages struct {
	mu     sync.Mutex // guards all below
	at     time.Time  // when it was asked; zero for never
	images backend.Images
}

// runningImages returns which images servers run on; none when that cannot be told, which
// no page waits or fails for. While one page asks, others take the last answer.
func (s *Web) runningImages(ctx context.Context) backend.Images {
	k := &s.images
	k.mu.Lock()
	last, now := k.images, s.cfg.Now()
	fresh := s.cfg.Images == nil || !k.at.IsZero() && now.Sub(k.at) < imagesFresh
	if !fresh {
		k.at = now
	}
	k.mu.Unlock()
	if fresh {
		return last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), imagesWait)
	defer cancel()
	images, err := s.cfg.Images(ctx)
	if err != nil {
		s.cfg.Log.Warn("cannot tell which images servers run on", "event", "images-unknown", "error", err.Error())
		images = backend.Images{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.images = images
	return images
}

// older reports whether a server that runs would get another image at its next start.
func older(srv servers.Server, images backend.Images, profiles []backend.Profile) bool {
	is, known := images.Older(srv.Key, srv.Profile, profiles)
	return is && known && (srv.State == servers.Ready || srv.State == servers.Waiting)
}
