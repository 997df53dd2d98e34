package hub

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// publicFor is how long what the policy makes public is remembered. Strangers ask for it with every request.
const publicFor = 10 * time.Second

// publicPaths knows what the profiles of running servers make public. While the launcher does not answer it is as it
// was.
type publicPaths struct {
	ask     func(ctx context.Context) (map[string][]string, error) // by profile
	servers interface {
		Get(key ident.Key) servers.Server
	}
	log *slog.Logger

	mu    sync.Mutex // guards all below; held while the launcher is asked
	known map[string][]string
	asked time.Time
}

// of returns the public paths of a server, relative to its own.
func (p *publicPaths) of(ctx context.Context, key ident.Key) []string {
	profile := p.servers.Get(key).Profile
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.asked) >= publicFor {
		p.asked = now
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // others wait for it as well
		defer cancel()
		known, err := p.ask(ctx)
		if err == nil {
			p.known = known
		} else {
			p.log.Warn("cannot read which paths of servers are public", "event", "public-paths-unreadable", "error",
				err.Error())
		}
	}
	return p.known[profile]
}
