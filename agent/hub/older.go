package hub

import (
	"context"
	"log/slog"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// imageSource knows the images that servers run on and that profiles start with.
type imageSource interface {
	Images(ctx context.Context) (backend.Images, error)
	Profiles(ctx context.Context) ([]backend.Profile, error)
}

// older returns what reports whether servers run on an older image than their next start would, and whether that is
// known.
func older(from imageSource, log *slog.Logger) func(context.Context) func(servers.Server) (older, known bool) {
	return func(ctx context.Context) func(servers.Server) (older, known bool) {
		images, err := from.Images(ctx)
		if err != nil {
			log.Warn("cannot read which images servers run on", "event", "images-unknown", "error", err.Error())
		}
		profiles, _ := from.Profiles(ctx) // without them only the default profile is not known
		return func(s servers.Server) (older, known bool) { return images.Older(s.Key, s.Profile, profiles) }
	}
}
