// Package operator is the hub's side of the control socket: what the administrator's
// commands ask of a running hub. Whoever can open the socket is root, so there are no
// further rules here; it must never be mounted on a listener of a network.
package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/tokens"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// manager is what the commands need of the servers.
type manager interface {
	Get(key ident.Key) servers.Server
	List() []servers.Server
	Start(key ident.Key, profile string, o servers.Options) error
	Stop(ctx context.Context, key ident.Key) error
	Reset(ctx context.Context, key ident.Key) error
	Follow(ctx context.Context, key ident.Key, step func(servers.Progress) error) (bool, error)
}

// Config is what an Operator needs; all fields are required but where said.
type Config struct {
	Servers   manager
	Version   string
	PublicURL string // of the hub's base URL, with a slash at the end
	Listeners []control.Listener
	// Know makes a user known to the hub who may never have signed in.
	Know func(ctx context.Context, u ident.User) error
	// Kept returns what persistent profiles keep.
	Kept func(ctx context.Context) ([]backend.PersistentContainer, error)
	// Reload changes to the binary and settings on disk.
	Reload func(ctx context.Context) error
	// Backup writes a consistent copy of the database.
	Backup func(ctx context.Context, w io.Writer) error
	// Older reports whether a server runs on an older image than its next start would, and
	// whether that is known. It is asked once a list; optional.
	Older func(ctx context.Context) func(s servers.Server) (older, known bool)
	// Tokens makes tokens for people.
	Tokens *tokens.Issuer
	// Disk knows what members' files take.
	Disk disks
	// Usage returns what users used.
	Usage func(ctx context.Context, q store.UsageQuery) ([]store.Spent, error)
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

// Handler returns all that can be asked.
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
		failure := control.Failure{Message: err.Error(), Hint: e.Hint}
		if message, hint, ok := strings.Cut(failure.Message, "\nhint: "); ok {
			failure = control.Failure{Message: message, Hint: hint}
		}
		answer(w, e.Status, failure)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the command is gone
}

func (o *Operator) list(w http.ResponseWriter, r *http.Request) error {
	all := []control.Server{}
	age := func(servers.Server) string { return "" }
	if o.cfg.Older != nil {
		age = words(o.cfg.Older(r.Context()))
	}
	outdated := o.outdated(r.Context())
	for _, s := range o.cfg.Servers.List() {
		all = append(all, control.Server{User: s.Key.User, Server: s.Key.Server, State: string(s.State),
			Profile: s.Profile,
			Since:   s.Since, URL: o.cfg.PublicURL + s.Key.Path()[1:], Unit: s.Key.Unit(), LastActivity: s.LastActivity,
			Outdated: outdated(s), Image: age(s)})
	}
	answer(w, http.StatusOK, all)
	return nil
}

// words says which image a server has.
func words(older func(servers.Server) (older, known bool)) func(servers.Server) string {
	return func(s servers.Server) string {
		switch is, known := older(s); {
		case !known:
			return ""
		case is:
			return "older"
		default:
			return "current"
		}
	}
}

// maxBody bounds a request.
const maxBody = 64 << 10

func decode(w http.ResponseWriter, r *http.Request, v any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(v); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "cannot understand the request", Cause: err}
	}
	return nil
}

func (o *Operator) start(w http.ResponseWriter, r *http.Request) error {
	var req control.StartRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	key := ident.Key{User: req.User, Server: req.Server}
	err := o.cfg.Servers.Start(key, req.Profile, servers.Options{WithoutGPUs: req.WithoutGPUs})
	if errors.Is(err, servers.ErrActive) && o.cfg.Servers.Get(key).State.Pending() {
		err = nil // follow the start that is under way
	}
	if err != nil {
		return &httpx.Error{Status: http.StatusConflict, Public: "cannot start the server", Cause: err}
	}
	o.cfg.Log.Info("administrator starts a server", "event", "operator-start", "user", req.User.String(), "server",
		req.Server.String())
	w.Header().Set("Content-Type", "application/jsonl")
	flush, enc := http.NewResponseController(w), json.NewEncoder(w)
	_, err = o.cfg.Servers.Follow(r.Context(), key, func(p servers.Progress) error {
		step := control.Progress{Progress: p.Percent, Message: p.Message, Failed: p.Failed, Ready: p.Ready}
		if p.Failed {
			step.Message, step.Hint = o.failure(key, p.Message)
		}
		if p.Ready {
			if err := o.cfg.Know(r.Context(), key.User); err != nil {
				o.cfg.Log.Warn("cannot note whose a server is", "event", "user-unwritten", "user", key.User.String(),
					"error", err.Error())
			}
		}
		if err := enc.Encode(step); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil {
		o.cfg.Log.Debug("command left before the start was over", "event", "operator-gone", "error", err.Error())
	}
	return nil
}

// failure returns the reason of a failed start and the next step.
func (o *Operator) failure(key ident.Key, otherwise string) (message, hint string) {
	f := o.cfg.Servers.Get(key).Failure
	if f == nil {
		return otherwise, ""
	}
	message, hint, _ = strings.Cut(f.Message, "\nhint: ")
	return message, hint
}

func (o *Operator) stop(w http.ResponseWriter, r *http.Request) error {
	var req control.StopRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	err := o.cfg.Servers.Stop(r.Context(), ident.Key{User: req.User, Server: req.Server})
	if errors.Is(err, servers.ErrNotActive) {
		return httpx.Fail(http.StatusNotFound, "%s has no server that runs", req.User)
	}
	if err != nil {
		return err
	}
	o.cfg.Log.Info("administrator stopped a server", "event", "operator-stop", "user", req.User.String(), "server",
		req.Server.String())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (o *Operator) reload(w http.ResponseWriter, r *http.Request) error {
	if err := o.cfg.Reload(r.Context()); err != nil {
		return &httpx.Error{Status: http.StatusInternalServerError,
			Public: "the new process did not start; the old one serves on", Cause: err,
			Hint: "journalctl -u gifford-hub"}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// backup sends the database. Once bytes have gone, an error can only break the answer off.
func (o *Operator) backup(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/vnd.sqlite3")
	sent := &counter{w: w}
	err := o.cfg.Backup(r.Context(), sent)
	if err != nil && sent.n > 0 {
		o.cfg.Log.Error("cannot send the back-up", "event", "backup-failed", "error", err.Error())
		panic(http.ErrAbortHandler) // the command must not take a part for the whole
	}
	if err == nil {
		o.cfg.Log.Info("database backed up", "event", "backup", "bytes", sent.n)
	}
	return err
}

// counter counts what was written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func (o *Operator) token(w http.ResponseWriter, r *http.Request) error {
	var req control.TokenRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	if req.Note == "" {
		req.Note = "made by root"
	}
	secret, t, err := o.cfg.Tokens.Issue(r.Context(), tokens.Request{Owner: req.User, Note: req.Note,
		ExpiresIn: req.Seconds, Scopes: req.Scopes})
	if errors.Is(err, store.ErrNotFound) {
		return &httpx.Error{Status: http.StatusNotFound, Public: "no such user",
			Cause: fmt.Errorf("user %q has not signed in yet\nhint: let them sign in once", req.User)}
	}
	if err != nil {
		return err
	}
	o.cfg.Log.Warn("administrator makes a token", "event", "operator-token", "user", req.User.String(), "token", t.ID)
	answer(w, http.StatusOK, control.TokenAnswer{Token: secret, ID: fmt.Sprintf("a%d", t.ID)})
	return nil
}

func (o *Operator) status(w http.ResponseWriter, _ *http.Request) error {
	active := 0
	for _, s := range o.cfg.Servers.List() {
		if s.State.Active() {
			active++
		}
	}
	answer(w, http.StatusOK, control.Status{Version: o.cfg.Version, PID: os.Getpid(), Servers: active,
		Listeners: o.cfg.Listeners,
		Uptime:    time.Since(o.started).Seconds(), Draining: o.cfg.Draining()})
	return nil
}
