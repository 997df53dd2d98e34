// Package web is what a member sees of the hub in a browser: signing in and out, the
// home page, starting, stopping, sharing and opening servers, the pages that stand in for
// a server that does not run, tokens, and users, groups and images for administrators. Its URLs are
// JupyterHub's, so that JupyterLab's menu and people's bookmarks lead where they always led. It
// must never do anything for a person whose right to it the table of routes and the handler have
// not both checked, never send a browser to another site on the word of a request, and never put a
// script or a style into the HTML itself.
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
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/tokens"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// members knows who is in the browser.
type members interface {
	// Browser returns who sent r: login.ErrNoSession for nobody, a *login.Denied for
	// somebody who may no longer be here.
	Browser(r *http.Request) (access.Subject, error)
}

// flow is the sign-in with the provider.
type flow interface {
	Start(w http.ResponseWriter, r *http.Request) error    // sends the browser to the provider
	Callback(w http.ResponseWriter, r *http.Request) error // takes it back
	Logout(w http.ResponseWriter, r *http.Request) error   // redirects to hub/login, or to the provider
	CallbackPath() string                                  // an escaped URL path anywhere on this host
}

// sessions gives requests their cookie session and knows whether the provider answers.
type sessions interface {
	Wrap(next http.Handler) http.Handler
	Ready(ctx context.Context) error
}

// signIn is all that the pages need of package login.
type signIn interface {
	flow
	sessions
}

// manager starts and stops servers.
type manager interface {
	Get(key ident.Key) servers.Server
	List() []servers.Server
	Of(user ident.User) []servers.Server
	Start(key ident.Key, profile string, o servers.Options) error
	Stop(ctx context.Context, key ident.Key) error
	Reset(ctx context.Context, key ident.Key) error
	Queue(key ident.Key) (servers.Queue, bool)
}

// Action is what somebody does with what is not their own.
type Action string

// The actions, named as events of the journal.
const (
	OpenServer   Action = "server-open"
	StartServer  Action = "server-start"
	StopServer   Action = "server-stop"
	DeleteServer Action = "server-delete"
	KeepServer   Action = "server-keep"
	ResetServer  Action = "server-reset"
	AddUser      Action = "user-add"
	DeleteUser   Action = "user-delete"
	MakeAdmin    Action = "user-make-admin"
	UnmakeAdmin  Action = "user-unmake-admin"
	AddGroup     Action = "group-add"
	DeleteGroup  Action = "group-delete"
	AddMembers   Action = "group-add-members"
	DropMembers  Action = "group-drop-members"
	PullImage    Action = "image-pull"
)

// Deed is one use that somebody made of a right over others: of another person's server,
// of a user's account, of a group or of the images that all share.
type Deed struct {
	Action Action
	By     ident.User
	On     ident.Key // the server, or the user (its Server is then the default one); zero for a group or an image
	Group  string    // "" for a server or user
	Detail string    // what more there is to know, such as the members; may be empty
	Err    error     // why it failed; nil when it did not
}

// Config is what the pages need. Fields are required but where said.
type Config struct {
	// BaseURL is the path below which the hub lives, "/" or "/x/".
	BaseURL string
	// Version is the JupyterHub version that the hub answers for, such as "5.5.1".
	Version string
	// ProviderName is what the sign-in button calls the provider; "" is "your institute".
	ProviderName string
	// Contact is whom people should ask: an e-mail address, a web address or words.
	// Optional: "the administrators of this hub".
	Contact string
	// AutoLogin goes to the provider at once, without the sign-in page.
	AutoLogin bool
	// RedirectToServer makes hub/ lead to the person's server and start it, as JupyterHub
	// does by default. Otherwise hub/ is the home page.
	RedirectToServer bool
	// Announcement is a plain text shown on top of each page; optional.
	Announcement string
	// Login signs people in.
	Login signIn
	// Access knows who asks and what they may do.
	Access members
	// Servers starts and stops.
	Servers manager
	// Store is the hub's database.
	Store *store.Store
	// Authority reports what people may do.
	Authority *access.Authority
	// Tokens makes API tokens.
	Tokens *tokens.Issuer
	// Services returns the services that there are.
	Services func() []services.Service
	// NamedServers is how many servers with a name a user may have beside the default one:
	// 0 none, below 0 any number.
	NamedServers int
	// Cull returns the announced end of a server that nobody uses. Optional.
	Cull func(key ident.Key) (cull.Notice, bool)
	// Keep puts that off; it fails with cull.ErrKeptBefore where that was done before and
	// cannot be again. Optional.
	Keep func(key ident.Key) error
	// Disk knows what users' files take. Optional.
	Disk disks
	// GPUs knows the host's GPUs. Optional.
	GPUs devices
	// PublicURL is where browsers find BaseURL, with a slash at the end. Optional: links that
	// people are to send to others are then shown without the host.
	PublicURL string
	// Profiles returns the policy's choices.
	Profiles func(ctx context.Context) ([]backend.Profile, error)
	// Images reports which images servers run on and profiles would start with. Optional: no
	// page then says that there is a newer one.
	Images func(ctx context.Context) (backend.Images, error)
	// Keeper owns the images that all servers share. Optional: the page of images then says
	// that there is none.
	Keeper imageKeeper
	// Background runs what outlasts a request, in a goroutine of its own; the context ends
	// with the hub, which waits. Required with a Keeper.
	Background func(work func(ctx context.Context))
	// Persistent returns the persistent containers of all members. Optional: no page then offers a reset.
	Persistent func(ctx context.Context) ([]backend.PersistentContainer, error)
	// Audit is called for each Deed before it is answered.
	Audit func(r *http.Request, d Deed)
	// Log gets failed requests and, at debug level, reports of browsers.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Web serves the pages. Make it with New.
type Web struct {
	cfg     Config
	hub     string // BaseURL and "hub/"
	pages   map[string]*template.Template
	assets  map[string]asset
	handler http.Handler
	pulls   pulls

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
	s := &Web{cfg: cfg, hub: cfg.BaseURL + "hub/", images: newRunningImages(cfg), persistent: newPersistent(cfg)}
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
	if c.Login == nil || c.Access == nil || c.Servers == nil || c.Profiles == nil || c.Audit == nil || c.Log == nil || c.Version == "" ||
		c.Store == nil || c.Authority == nil || c.Tokens == nil || c.Services == nil {
		errs = append(errs, errors.New("cannot make the pages: version, login, access, servers, store, authority, tokens, "+
			"services, profiles, audit and log are required"))
	}
	if c.Keeper != nil && c.Background == nil {
		errs = append(errs, errors.New("cannot make the pages: with an image keeper something must run its pulls"))
	}
	return errors.Join(errs...)
}

// Handler serves everything of the hub that is not its API and not a server: the
// paths below hub/, the provider's callback, and the redirects of all others. It gives
// the requests their session itself.
func (s *Web) Handler() http.Handler { return s.handler }
