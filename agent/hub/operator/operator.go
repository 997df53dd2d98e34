// Package operator is the hub's side of the control socket: it translates between what the administrator's commands
// ask of a running hub and package actions. Whoever can open the socket is root. It must never be mounted on a
// listener of a network, and never write to the database itself.
package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// manager knows the servers.
type manager interface {
	Get(key ident.Key) servers.Server
	List() []servers.Server
	Follow(ctx context.Context, key ident.Key, step func(servers.Progress) error) (bool, error)
}

// deeds are the acts of the commands.
type deeds interface {
	Start(ctx context.Context, s access.Subject, req actions.StartRequest) error
	Stop(ctx context.Context, s access.Subject, k ident.Key, wait time.Duration) (actions.Progress, error)
	Reset(ctx context.Context, s access.Subject, k ident.Key, stop bool) error
	ForgetIdentity(ctx context.Context, s access.Subject, u ident.User) error
	CreateToken(ctx context.Context, s access.Subject, req actions.TokenRequest) (string, store.Token, error)
}

// Config is what an Operator needs; all fields are required but where said.
type Config struct {
	Servers manager
	Actions deeds
	// Subject returns the operator, for whom the actions are done.
	Subject   func(ctx context.Context) access.Subject
	Version   string
	PublicURL string // of the hub's base URL, with a slash at the end
	// URL returns where browsers reach a server.
	URL       func(key ident.Key) string
	Listeners []control.Listener
	// Know makes a user known to the hub who may never have signed in.
	Know func(ctx context.Context, u ident.User) error
	// Persistent returns the persistent containers.
	Persistent func(ctx context.Context) ([]backend.PersistentContainer, error)
	// Reload changes to the binary and settings on disk.
	Reload func(ctx context.Context) error
	// Backup writes a consistent copy of the database.
	Backup func(ctx context.Context, w io.Writer) error
	// Older returns the function that reports whether a server runs on an older image than its next start would, and
	// whether that is known. It is called once a list. Optional.
	Older func(ctx context.Context) func(s servers.Server) (older, known bool)
	// Disk knows the disk use of members.
	Disk disks
	// Usage returns what users used.
	Accounting func(ctx context.Context, q store.AccountingQuery) ([]store.Spent, error)
	// Identities returns to which accounts of the provider the users' names belong.
	Identities func(ctx context.Context) ([]store.Identity, error)
	// GPUs knows the host's GPUs.
	GPUs devices
	// Draining counts older processes that still serve open connections.
	Draining func() int
	Log      *slog.Logger
}

// Operator answers the control socket.
type Operator struct {
	cfg     Config
	started time.Time
}

// New makes an Operator.
func New(cfg Config) *Operator { return &Operator{cfg: cfg, started: time.Now()} }

// Handler returns all routes of the control socket.
func (o *Operator) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		handler httpx.Handler
	}{
		{"GET " + control.ServersPath, o.list},
		{"POST " + control.StartPath, o.start},
		{"POST " + control.StopPath, o.stop},
		{"POST " + control.ShellPath, o.shell},
		{"POST " + control.ResetPath, o.reset},
		{"POST " + control.ReloadPath, o.reload},
		{"GET " + control.StatusPath, o.status},
		{"GET " + control.BackupPath, o.backup},
		{"POST " + control.TokenPath, o.token},
		{"GET " + control.DiskPath, o.disk},
		{"POST " + control.DiskPath, o.measure},
		{"GET " + control.UsagePath, o.usage},
		{"GET " + control.GPUsPath, o.gpus},
		{"GET " + control.IdentitiesPath, o.identities},
		{"POST " + control.ForgetPath, o.forget},
	} {
		mux.Handle(route.pattern, o.serve(route.handler))
	}
	return mux
}

func (o *Operator) serve(h httpx.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		httpx.LogFailure(o.cfg.Log, r, err)
		// The operator is root and reads the journal anyway, so the cause is no secret here.
		e := httpx.Public(err)
		answer(w, e.Status, control.Failure{Message: err.Error(), Hint: cmp.Or(hint.Of(err), e.Hint)})
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the command is gone
}

// maxBody bounds a request.
const maxBody = 64 << 10

func decode(w http.ResponseWriter, r *http.Request, v any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(v); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "cannot understand the request", Cause: err}
	}
	return nil
}
