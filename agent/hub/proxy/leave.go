package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"golang.org/x/sync/errgroup"
)

// gate decides which requests reach a server.
type gate interface {
	// Admit returns the leave of a request to reach the server of key, or answers the request itself and returns nil.
	Admit(w http.ResponseWriter, r *http.Request, key ident.Key) *Leave
}

// Leave is what a gate grants: a request may reach a server. One Leave may be that of many requests.
type Leave struct {
	// Owner says that the request comes from a page of the server's owner. What anybody else gets of the server is
	// confined to the server's own path, where servers share an origin.
	Owner bool
	// Shown says that the request showed a credential, so that the hub knows whose it is.
	Shown bool
	// Preflight says that the request asks a server in a browser's name which requests of other origins it takes
	// (Fetch, 4.8). Nothing else of the request and of the answer passes.
	Preflight bool
	// Cookie is the value of a Set-Cookie header that goes with the answer; "" for none.
	Cookie string
	// Holds reports whether the leave still holds, which ends what is open otherwise. It is true where that cannot be
	// known.
	Holds func(ctx context.Context) bool
}

// errLeaveEnded is why an open request or WebSocket ends whose Leave no longer holds.
var errLeaveEnded = errors.New("the right to reach the server has ended")

// closedGate lets nobody through.
type closedGate struct{}

// Admit refuses.
func (closedGate) Admit(w http.ResponseWriter, _ *http.Request, _ ident.Key) *Leave {
	httpx.Words(w, "this hub has nothing that decides who may open a server", http.StatusInternalServerError)
	return nil
}

// leaveKey is the key of a request's Leave in its context.
type leaveKey struct{}

func withLeave(ctx context.Context, l *Leave) context.Context {
	return context.WithValue(ctx, leaveKey{}, l)
}

// leaveOf returns the leave of a request, nil for one to a service.
func leaveOf(r *http.Request) *Leave {
	l, _ := r.Context().Value(leaveKey{}).(*Leave)
	return l
}

// judged returns the context of a request that has been entered, with its leave. It ends one whose leave has ended
// since it was given: from now on Judge finds the request, and before nobody has.
func (p *Proxy) judged(ctx context.Context, s *session) context.Context {
	if s.leave == nil {
		return ctx
	}
	if !s.leave.Holds(ctx) {
		s.end(errLeaveEnded)
	}
	return withLeave(ctx, s.leave)
}

// maxJudged bounds how many Leaves are judged at a time.
const maxJudged = 64

// Judge ends what is open over a Leave that no longer holds. It waits for that.
func (p *Proxy) Judge(ctx context.Context) {
	open := map[*Leave][]*session{}
	for _, s := range p.sessions(func(s *session) bool { return s.leave != nil }) {
		open[s.leave] = append(open[s.leave], s)
	}
	var all errgroup.Group
	all.SetLimit(maxJudged)
	for leave, sessions := range open {
		all.Go(func() error {
			if leave.Holds(ctx) {
				return nil
			}
			for _, s := range sessions {
				p.cfg.Log.Info("ended a connection: the right to reach the server has ended",
					s.route.fields("leave-ended")...)
				s.end(errLeaveEnded)
			}
			return nil
		})
	}
	_ = all.Wait() // none fails
}

// preflightHeaders are the headers of a preflight request that a server may have (Fetch, 4.8).
var preflightHeaders = [...]string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers",
	"Access-Control-Request-Private-Network", "Accept", "User-Agent"} // read only

// barePreflight returns a preflight request without all that browsers do not send with one: a body, cookies, tokens, an
// upgrade.
func barePreflight(r *http.Request) *http.Request {
	bare := r.Clone(r.Context())
	bare.Header = http.Header{}
	for _, name := range preflightHeaders {
		if values, sent := r.Header[name]; sent {
			bare.Header[name] = values
		}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"} {
		if values, sent := r.Header[name]; sent { // read again if a trusted proxy has set them
			bare.Header[name] = values
		}
	}
	bare.Body, bare.ContentLength, bare.TransferEncoding, bare.Trailer = http.NoBody, 0, nil, nil
	return bare
}

// narrowPreflight takes out of a preflight's answer all that is no answer to it.
func narrowPreflight(answer *http.Response) {
	for name := range answer.Header {
		if !strings.HasPrefix(name, "Access-Control-") && name != "Vary" && name != "Allow" && name != "Date" {
			delete(answer.Header, name)
		}
	}
	replaceBody(answer, "")
}
