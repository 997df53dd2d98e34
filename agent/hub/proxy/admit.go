package proxy

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// fullEvery is how often the log says that a route has no slot left.
const fullEvery = time.Minute

// admit waits for one of the route's slots. Each open request and each WebSocket has one, so an upstream can make the
// hub hold MaxOpen connections and no more. (The transport's own limit forgets a connection once it is a WebSocket, and
// waits for ever.) It reports whether there was one within MaxWait. release gives it back.
func (p *Proxy) admit(r *http.Request, route *route) bool {
	select {
	case route.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(p.cfg.MaxWait)
	defer timer.Stop()
	select {
	case route.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-r.Context().Done():
	}
	return false
}

// release gives back what admit has taken.
func (r *route) release() { <-r.slots }

// full answers a request for which there was no slot.
func (p *Proxy) full(w http.ResponseWriter, route *route) {
	if now, last := time.Now().UnixNano(), route.saidFull.Load(); now-last > int64(fullEvery) &&
		route.saidFull.CompareAndSwap(last, now) {
		p.cfg.Log.Warn("refused a request: the most that may be open is open",
			append(route.fields("upstream-full"), "open", p.cfg.MaxOpen)...)
	}
	w.Header().Set("Retry-After", "10")
	message := fmt.Sprintf("%s has %d requests and WebSockets open, which is the most that may be open at once",
		route.name(), p.cfg.MaxOpen)
	httpx.Words(w, hint.Join(message, "close pages of it that you do not need, then load this one again"),
		http.StatusServiceUnavailable)
}

// name says what the route leads to, for people.
func (r *route) name() string {
	if r.service != "" {
		return "the service " + r.service
	}
	return "the server " + r.key.String()
}
