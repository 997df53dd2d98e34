package web

import (
	"context"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// hostFacts is what other processes know and several pages show.
type hostFacts struct {
	profiles   []backend.Profile
	warning    string // why there are no profiles; "" when there are
	images     backend.Images
	persistent persistentContainers
	gpus       backend.GPUs
	gpusErr    error
}

// askHost asks for everything at once, for a page with the given servers.
func (s *Web) askHost(ctx context.Context, shown []servers.Server) (f hostFacts) {
	var asking sync.WaitGroup
	asking.Go(func() { f.profiles, f.warning = s.profiles(ctx) })
	asking.Go(func() { f.images = s.runningImages(ctx) })
	asking.Go(func() { f.persistent = s.persistentOf(ctx, shown) })
	asking.Go(func() { f.gpus, f.gpusErr = s.askGPUs(ctx) })
	asking.Wait()
	return f
}

// fullView is view with what the host knows of the server.
func (s *Web) fullView(m access.Subject, srv servers.Server, f hostFacts) serverView {
	v := s.withPersistent(s.view(m, srv, f.profiles), f.persistent)
	v.Older, v.GPUs = older(srv, f.images, f.profiles), f.gpus.Held(srv.Key)
	return v
}
