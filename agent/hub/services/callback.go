package services

import (
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
)

// Callback returns the only redirect_uri that the service's OAuth client may name: as the settings say it, and for a
// path of a service that the hub proxies at its own origin, where services have one.
func (s Service) Callback(o origins.Origins) string {
	if o.Separate() && s.URL != "" && strings.HasPrefix(s.RedirectURI, "/") {
		return o.Service(s.Name) + s.RedirectURI
	}
	return s.RedirectURI
}
