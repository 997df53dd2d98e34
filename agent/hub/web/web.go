// Package web is the hub in a browser: signing in and out, the home page, pages to start, stop, share and open servers,
// the pages in place of a server that does not run, tokens, and for administrators users, groups, images, GPUs and
// accounting. Its URLs are JupyterHub's, so that JupyterLab's menu and people's bookmarks work. It translates only:
// what a form asks for is done by package actions. It must never write to the database, never show or do anything that
// the table of routes and the subject's scopes do not allow, never redirect a browser to another site because a request
// says so, and never put a script or a style into the HTML.
package web

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// browsers knows who is signed in.
type browsers interface {
	// Browser returns who sent r. It fails with login.ErrNoSession for nobody, and with a *login.Denied for somebody
	// who may no longer use the hub.
	Browser(r *http.Request) (access.Subject, error)
}

// flow is the sign-in with the provider.
type flow interface {
	Start(w http.ResponseWriter, r *http.Request) error    // redirects the browser to the provider
	Callback(w http.ResponseWriter, r *http.Request) error // takes the browser back
	Logout(w http.ResponseWriter, r *http.Request) error   // redirects to hub/login, or to the provider
	CallbackPath() string                                  // an escaped URL path anywhere on this host
	Cookies() cookies.Names                                // of the hub
}

// sessions attaches the cookie session to requests, and reports why the provider cannot be reached.
type sessions interface {
	Wrap(next http.Handler) http.Handler
	Ready(ctx context.Context) error
}

// signIn is all that the pages need of package login.
type signIn interface {
	flow
	sessions
}

// states knows the servers. Queue returns the position of a start in the queue for devices; false for one that is not
// queued.
type states interface {
	Get(key ident.Key) servers.Server
	List() []servers.Server
	Of(user ident.User) []servers.Server
	Queue(key ident.Key) (servers.Queue, bool)
}

// doors let browsers through to servers, as gate.Gate does.
type doors interface {
	Address(session string, key ident.Key, path, query string, redirects int) string
}

// Config is what the pages need. Fields are required unless they are said to be optional.
type Config struct {
	// BaseURL is the path prefix of the hub, "/" or "/x/".
	BaseURL string
	// Version is the JupyterHub version that the hub claims to be, such as "5.5.1".
	Version string
	// ProviderName is the name of the provider on the sign-in button. Optional: "your institute".
	ProviderName string
	// Contact is whom people should ask: an e-mail address, a web address or any text. Optional: "the administrators of
	// this hub".
	Contact string
	// HSTS tells browsers that come by TLS to come by nothing else.
	HSTS bool
	// AutoLogin redirects to the provider at once, without the sign-in page.
	AutoLogin bool
	// RedirectToServer makes hub/ start the user's server and redirect to it, as JupyterHub does by default. Otherwise
	// hub/ is the home page.
	RedirectToServer bool
	// Announcement is a plain text at the top of each page. Optional.
	Announcement string
	// Gate returns where a browser goes that may open a server.
	Gate doors
	// Tokens are those of the pages' forms and scripts.
	Tokens *xsrf.Tokens
	// Login signs people in.
	Login signIn
	// Access knows who asks and what they may do.
	Access browsers
	// Actions does what forms ask for.
	Actions *actions.Actions
	// Servers knows the state of the servers.
	Servers states
	// Records is the reading half of the hub's database.
	Records *store.Reader
	// Authority has the table of scopes.
	Authority *access.Authority
	// Services returns the services.
	Services func() []services.Service
	// NamedServers is how many named servers a user may have beside the default one: 0 none, below 0 any number.
	NamedServers int
	// Cull returns the announced end of a server that nobody uses. Optional: no server ends by itself.
	Cull func(key ident.Key) (cull.Notice, bool)
	// Disk knows the disk use of users. Optional.
	Disk disks
	// GPUs knows the host's GPUs. Optional.
	GPUs devices
	// PublicURL is the URL of BaseURL for browsers, with a slash at the end. Optional: links for others are then shown
	// without the host.
	PublicURL string
	// Origins are those of the members' servers. The zero value is the hub's own for all.
	Origins origins.Origins
	// Profiles returns the policy's profiles.
	Profiles func(ctx context.Context) ([]backend.Profile, error)
	// Images returns which images servers run on and profiles would start with. Optional: no page then says that a
	// newer one exists.
	Images func(ctx context.Context) (backend.Images, error)
	// Keeper is the image keeper. Optional: the page of images then says that the hub has none.
	Keeper imageKeeper
	// Background runs work that outlasts a request, in a goroutine of its own. The context ends with the hub, which
	// waits for the work. Required with a Keeper.
	Background func(work func(ctx context.Context))
	// Persistent returns the persistent containers of all members. Optional: no page then offers a reset.
	Persistent func(ctx context.Context) ([]backend.PersistentContainer, error)
	// Log gets failed requests and, at level debug, reports of browsers.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Web serves the pages. Make it with New.
type Web struct {
	cfg Config
	hub string // BaseURL + "hub/"

	requests fetchmeta.Rules
	pages    map[string]*template.Template
	assets   map[string]asset
	handler  http.Handler
	pulls    pulls

	images     *recent[backend.Images]
	persistent *recent[persistentContainers]
}

// New checks cfg and makes the pages.
func New(cfg Config) (*Web, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.ProviderName == "" {
		cfg.ProviderName = "your institute"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Web{cfg: cfg, hub: cfg.BaseURL + "hub/", images: newRunningImages(cfg), persistent: newPersistent(cfg),
		requests: fetchmeta.Rules{Base: cfg.BaseURL, Secure: cfg.Login.Cookies().Secure(),
			Public: cfg.PublicURL}}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = s.parsePages(); err != nil {
		return nil, err
	}
	s.handler, err = s.newHandler()
	return s, err
}

func (c Config) validate() error {
	var errs []error
	if !strings.HasPrefix(c.BaseURL, "/") || !strings.HasSuffix(c.BaseURL, "/") ||
		strings.ContainsAny(c.BaseURL, "{}\\") {
		errs = append(errs, fmt.Errorf("cannot make the pages: base URL %q must be a path with a slash at both ends",
			c.BaseURL))
	}
	if c.Login == nil || c.Access == nil || c.Actions == nil || c.Servers == nil || c.Profiles == nil || c.Log == nil ||
		c.Version == "" || c.Tokens == nil || c.Gate == nil || c.Records == nil || c.Authority == nil ||
		c.Services == nil {
		errs = append(errs, errors.New("cannot make the pages: version, login, tokens, gate, access, actions, "+
			"servers, "+
			"records, "+
			"authority, services, profiles and log are required"))
	}
	if c.Keeper != nil && c.Background == nil {
		errs = append(errs, errors.New("cannot make the pages: an image keeper needs background work"))
	}
	return errors.Join(errs...)
}

// Handler serves everything of the hub but its API and the servers: the paths below hub/, the provider's callback, and
// the redirects of all others. It attaches the session to the requests itself.
func (s *Web) Handler() http.Handler { return s.handler }
