package web

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// imagesWait is how long a page waits for the launcher's answer about images, which needs files of every server.
const imagesWait = time.Second

// newRunningImages remembers which images servers run on. Without an answer no page says that a newer one exists.
func newRunningImages(c Config) *recent[backend.Images] {
	return newRecent(c.Images, imagesWait, c.Now, func(err error) {
		c.Log.Warn("cannot tell which images servers run on", "event", "images-unknown", "error", err.Error())
	})
}

// runningImages returns which images servers run on; none where that is not known.
func (s *Web) runningImages(ctx context.Context) backend.Images {
	return s.images.get(ctx, time.Time{})
}

// older reports whether a server that runs would get another image at its next start.
func older(srv servers.Server, images backend.Images, profiles []backend.Profile) bool {
	is, known := images.Older(srv.Key, srv.Profile, profiles)
	return is && known && (srv.State == servers.Ready || srv.State == servers.Waiting)
}
