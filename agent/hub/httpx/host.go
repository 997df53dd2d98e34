package httpx

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// names knows by which names the hub is reached.
type names interface {
	Has(host string) bool
	Public() string
}

// WithHost answers 421 to requests whose Host is none of the hub's: a page of another name that leads to the hub's
// address could otherwise read the answers (DNS rebinding), and a browser that shares a connection of HTTP/2 between
// names tries again on another one (RFC 9110, 15.5.20).
func WithHost(log *slog.Logger, known names, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if known.Has(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		log.Debug("refused a request by another name", "event", "host-refused", "request", RequestID(r), "host", r.Host)
		message := fmt.Sprintf("this hub is not known by the name %.100q: it is at %s", r.Host, known.Public())
		Words(w, hint.Join(message, "administrators: if that name is the hub's as well, add it to hosts in the "+
			"section [http] of hub.toml"), http.StatusMisdirectedRequest)
	})
}
