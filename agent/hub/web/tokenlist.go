package web

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// life is a choice of a token's lifetime.
type life struct {
	Seconds string
	Label   string
	Chosen  bool
}

// tokenView is an API token as the page shows it.
type tokenView struct {
	ID                         int64
	Note                       string
	Created, LastUsed, Expires time.Time
	Scopes                     []scopes.Description
}

// appView is an OAuth client that was given tokens.
type appView struct {
	ClientID, Name    string
	Created, LastUsed time.Time
	Scopes            []scopes.Description
}

// describe describes the scopes of an owner's token for people.
func (s *Web) describe(owner scopes.Owner, list []string) []scopes.Description {
	return s.cfg.Authority.Table().Describe(list, owner)
}

// apps lists the applications that were given tokens, by name.
func (s *Web) apps(m access.Subject, all []store.Token) []appView {
	var apps []appView
	for _, t := range all {
		if t.ClientID == "" {
			continue
		}
		name, service := s.clientName(t)
		i := slices.IndexFunc(apps, func(a appView) bool { return a.ClientID == t.ClientID })
		if i < 0 {
			i = len(apps)
			apps = append(apps, appView{ClientID: t.ClientID, Name: name, Created: t.Created})
		}
		if t.LastUsed.After(apps[i].LastUsed) {
			apps[i].LastUsed = t.LastUsed
		}
		for _, d := range s.describe(scopes.Owner{User: m.User, Service: service}, t.Scopes) {
			if !slices.Contains(apps[i].Scopes, d) {
				apps[i].Scopes = append(apps[i].Scopes, d)
			}
		}
	}
	slices.SortFunc(apps, func(x, y appView) int { return strings.Compare(x.Name, y.Name) })
	return apps
}

// clientName returns the name of an OAuth client for people, and the service's name where it is one's. The token's note
// has the name of a server that has stopped.
func (s *Web) clientName(t store.Token) (name, service string) {
	for _, v := range s.cfg.Services() {
		if v.ClientID == t.ClientID {
			return "Service " + v.Name, v.Name
		}
	}
	for _, v := range s.cfg.Servers.List() {
		if servers.ClientID(v.Key) == t.ClientID {
			return "Server at " + s.prefix(v.Key), ""
		}
	}
	if strings.HasPrefix(t.Note, "Server at ") {
		return strings.TrimSuffix(t.Note, "oauth_callback"), ""
	}
	return t.ClientID, ""
}

// lives returns the lifetimes to choose from that the settings allow; longest is 0 for no bound.
func lives(longest time.Duration, chosen string) []life {
	const day = 24 * time.Hour
	all := []life{}
	for _, l := range []struct {
		d     time.Duration
		label string
	}{{time.Hour, "1 hour"}, {day, "1 day"}, {7 * day, "1 week"}, {30 * day, "30 days"}, {365 * day, "1 year"},
		{0, "never"}} {
		if longest == 0 || l.d > 0 && l.d <= longest {
			all = append(all, life{Seconds: strconv.FormatInt(int64(l.d.Seconds()), 10), Label: l.label})
		}
	}
	if len(all) == 0 {
		return []life{{Label: "as soon as the settings say", Chosen: true}}
	}
	i := slices.IndexFunc(all, func(l life) bool { return l.Seconds == chosen })
	if i < 0 {
		i = min(3, len(all)-1)
	}
	all[i].Chosen = true
	return all
}
