package gate

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// verdict is what is known of a credential.
type verdict int

// The verdicts. The zero one lets nobody through.
const (
	refused verdict = iota
	granted
	unknown // what could say cannot be asked
)

const (
	// fresh is how long a verdict is used without another question, where no change was announced.
	fresh = time.Second
	// askTime bounds a question: the right to enter may be asked of the sign-in server.
	askTime = 30 * time.Second
	// patience is how long a request waits for an answer where an earlier one is known.
	patience = 2 * time.Second
	// forgetAfter is how long a grant is remembered that nobody uses.
	forgetAfter = time.Minute
	// maxGrants bounds the grants that are remembered. All others are asked each time.
	maxGrants = 50_000
)

// credentials is what a request shows to reach one server.
type credentials struct {
	key    ident.Key
	cookie string // the server's, with login
	login  string // the hub's session beside it; "" for none
	token  string // or a token
}

// finding is a verdict with when it was found.
type finding struct {
	at      time.Time
	count   uint64 // of the changes before it
	verdict verdict
	owner   bool // it is the server's owner, by a session
}

// who finds out who shows a credential.
type who func(ctx context.Context) (access.Subject, error)

// grant is what somebody's credentials give them at one server. Their verdict is asked again when it is old.
type grant struct {
	gate   *Gate
	key    ident.Key
	who    who
	owners proxy.Leave // for the owner
	others proxy.Leave // for everybody else

	last   atomic.Pointer[finding]
	mu     sync.Mutex // guards asking, and writing last
	asking *question  // the latest; nil while nobody asks
}

func (g *Gate) newGrant(key ident.Key, w who) *grant {
	n := &grant{gate: g, key: key, who: w}
	holds := func(ctx context.Context) bool { return n.now(ctx).verdict != refused }
	n.owners, n.others = proxy.Leave{Owner: true, Shown: true, Holds: holds}, proxy.Leave{Shown: true,
		Holds: holds}
	return n
}

// session returns who is signed in by a session.
func (g *Gate) session(id string) who {
	return func(ctx context.Context) (access.Subject, error) { return g.cfg.People.Session(ctx, id) }
}

// token returns who has a token.
func (g *Gate) token(token string) who {
	return func(ctx context.Context) (access.Subject, error) { return g.cfg.People.Bearer(ctx, token) }
}

// judge returns the leave of credentials. It is remembered if it is one: what opens nothing is anybody's to make up.
func (g *Gate) judge(ctx context.Context, id credentials, w who) (*proxy.Leave, verdict) {
	n := g.grants.get(id)
	if n != nil {
		return g.result(ctx, n)
	}
	n = g.newGrant(id.key, w)
	if leave, v := g.result(ctx, n); leave == nil {
		return nil, v
	}
	return g.result(ctx, g.grants.add(id, n))
}

// result returns the leave of a grant, if it is one now.
func (g *Gate) result(ctx context.Context, n *grant) (*proxy.Leave, verdict) {
	switch f := n.now(ctx); {
	case f.verdict != granted:
		return nil, f.verdict
	case f.owner:
		return &n.owners, granted
	}
	return &n.others, granted
}

// now returns what is known now. What cannot be known is as it was, and so is what has not been answered in time: the
// sign-in server may be silent, and people work on. Who ends a right announces that, and then it is asked again.
func (n *grant) now(ctx context.Context) *finding {
	begun, count := n.gate.cfg.Now(), n.gate.cfg.Changes.Count()
	for {
		f := n.last.Load()
		if n.isFresh(f) || f != nil && f.count >= count && !f.at.Before(begun) { // it was asked since
			return f
		}
		q := n.renewed(ctx, count)
		if f == nil {
			<-q.done
			continue
		}
		late := time.NewTimer(patience - time.Since(q.begun))
		select {
		case <-q.done:
			late.Stop()
		case <-late.C:
			return n.last.Load()
		}
	}
}

// question is one that is being asked.
type question struct {
	begun time.Time
	count uint64        // of the changes before it
	done  chan struct{} // closed when the answer is there
}

// renewed returns a question that is being asked and that knows of so many changes; it asks where there is none.
func (n *grant) renewed(ctx context.Context, count uint64) *question {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asking == nil || n.asking.count < count {
		n.asking = &question{time.Now(), n.gate.cfg.Changes.Count(), make(chan struct{})}
		go n.renew(ctx, n.asking) // ends after askTime
	}
	return n.asking
}

// renew asks, and notes the answer unless a later question has one.
func (n *grant) renew(ctx context.Context, q *question) {
	f := &finding{at: n.gate.cfg.Now(), count: q.count} // from before the question
	f.verdict, f.owner = n.ask(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	defer close(q.done)
	if n.asking == q {
		n.asking = nil
	}
	before := n.last.Load()
	if before != nil && (before.count > f.count || before.at.After(f.at)) {
		return
	}
	if f.verdict == unknown && before != nil {
		f.verdict, f.owner = before.verdict, before.owner
	}
	n.last.Store(f)
}

func (n *grant) isFresh(f *finding) bool {
	return f != nil && f.count == n.gate.cfg.Changes.Count() && n.gate.cfg.Now().Sub(f.at) < fresh
}

// ask finds out who it is and what they may do.
func (n *grant) ask(ctx context.Context) (v verdict, owner bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime) // others wait for the answer as well
	defer cancel()
	s, err := n.who(ctx)
	switch {
	case err != nil && ended(err):
		return refused, false
	case err != nil:
		n.gate.cfg.Log.Warn("cannot find out whether somebody may open a server", "event", "rights-unreadable", "user",
			n.key.User.String(), "server", n.key.Server.String(), "error", err.Error())
		return unknown, false
	case mayOpen(s, n.key):
		// A token of the owner's may be in a link that others open.
		return granted, s.User == n.key.User && s.TokenID == "" && s.SessionID != ""
	}
	if err := n.gate.cfg.Known(ctx, n.key.User); err != nil {
		return unknown, false // a right by group may be missing only because nobody could read the groups
	}
	return refused, false
}

// mayOpen reports whether somebody has the right to open a server.
func mayOpen(s access.Subject, key ident.Key) bool { return s.MayServer(key, scopes.AccessServers) }

// ended reports whether an error says that nobody has the credential, and not that it could not be checked.
func ended(err error) bool {
	return errors.Is(err, login.ErrNoSession) || errors.Is(err, access.ErrCredentials) ||
		errors.As(err, new(*login.Denied))
}

// grants are those that were used lately.
type grants struct {
	mu    sync.RWMutex // guards known
	known map[credentials]*grant
}

func (g *grants) get(id credentials) *grant {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.known[id]
}

// add returns the grant of an id: n, or one that another request has added.
func (g *grants) add(id credentials, n *grant) *grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known, ok := g.known[id]; ok {
		return known
	}
	if len(g.known) < maxGrants {
		g.known[id] = n
	}
	return n
}

// forget drops the grants that nobody has used since a time.
func (g *grants) forget(since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, n := range g.known {
		if f := n.last.Load(); f != nil && f.at.Before(since) {
			delete(g.known, id)
		}
	}
}
