package keeper

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// maxRequest bounds a request's JSON.
const maxRequest = 1 << 20

// peerKey is the context key of a connection's uid.
type peerKey struct{}

// Peer adds the uid of a connection's other end to its context (unix(7), SO_PEERCRED). It is for http.Server's
// ConnContext.
func Peer(ctx context.Context, c net.Conn) context.Context {
	if uc, ok := c.(*net.UnixConn); ok {
		if raw, err := uc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					ctx = context.WithValue(ctx, peerKey{}, cred.Uid)
				}
			})
		}
	}
	return ctx
}

// route is one row of the table.
type route struct {
	method, path string
	hub          bool // the hub may use it too
	serve        func(http.ResponseWriter, *http.Request) error
}

func (k *Keeper) routes() []route {
	return []route{
		{http.MethodGet, imagekeeper.ImagesPath, true, func(w http.ResponseWriter, r *http.Request) error {
			return answer(w)(k.Images(r.Context()))
		}},
		{http.MethodGet, imagekeeper.ImagePath, true, func(w http.ResponseWriter, r *http.Request) error {
			return answer(w)(k.Image(r.Context(), r.URL.Query().Get("name")))
		}},
		{http.MethodGet, imagekeeper.DiskPath, true, func(w http.ResponseWriter, _ *http.Request) error {
			return answer(w)(k.Disk())
		}},
		{http.MethodPost, imagekeeper.EnsurePath, true, k.serveEnsure},
		{http.MethodPost, imagekeeper.PullPath, true, k.servePull},
		{http.MethodPost, imagekeeper.ImportPath, false, k.serveImport},
		{http.MethodPost, imagekeeper.RemovePath, false, k.serveRemove},
		{http.MethodPost, imagekeeper.PrunePath, false, k.servePrune},
		{http.MethodPost, imagekeeper.RollbackPath, false, k.serveRollback},
	}
}

// Handler serves the routes to root and to the hub's account.
func (k *Keeper) Handler(hubUID uint32) http.Handler {
	mux := http.NewServeMux()
	for _, r := range k.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			uid, known := req.Context().Value(peerKey{}).(uint32)
			if !known || uid != 0 && (uid != hubUID || !r.hub) {
				writeFailure(w, http.StatusForbidden, "only root may do this", "run it with sudo")
				return
			}
			k.answerError(w, req, r.serve(w, req))
		})
	}
	return mux
}

// answerError writes an error, unless the answer has begun.
func (k *Keeper) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	switch {
	case err == nil, errors.Is(err, context.Canceled):
	case errors.As(err, &refused):
		writeFailure(w, http.StatusBadRequest, err.Error(), hint.Of(err))
	default:
		k.cfg.Log.Error("request failed", "event", "request-failed", "path", r.URL.Path, "error", err)
		writeFailure(w, http.StatusInternalServerError, err.Error(),
			cmp.Or(hint.Of(err), "journalctl -u gifford-images"))
	}
}

func writeFailure(w http.ResponseWriter, status int, message, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(imagekeeper.Failure{Message: message, Hint: hint})
}

// answer returns a function that writes a result, if there is no error.
func answer(w http.ResponseWriter) func(v any, err error) error {
	return func(v any, err error) error {
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(v)
	}
}

// read reads a request's JSON.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return refuse("cannot read the request: %v", err)
	}
	return nil
}

func (k *Keeper) serveEnsure(w http.ResponseWriter, r *http.Request) error {
	var req imagekeeper.EnsureRequest
	if err := read(w, r, &req); err != nil {
		return err
	}
	j, err := k.Ensure(req.Profile)
	if err != nil {
		return err
	}
	return stream(w, r, j)
}

func (k *Keeper) servePull(w http.ResponseWriter, r *http.Request) error {
	var req imagekeeper.PullRequest
	if err := read(w, r, &req); err != nil {
		return err
	}
	if req.Name == "" {
		return k.pullAll(w, r)
	}
	j, err := k.Pull(req.Name, req.Detached)
	if err != nil {
		return err
	}
	return stream(w, r, j)
}

// pullAll pulls one image after the other. One that fails does not prevent the
// others.
func (k *Keeper) pullAll(w http.ResponseWriter, r *http.Request) error {
	names, err := k.Refreshable()
	if err != nil {
		return err
	}
	write := streamer(w)
	var failed []string
	step := ""
	for _, name := range names {
		j, err := k.Pull(name, false)
		if err != nil {
			return err
		}
		err = j.follow(r.Context(), func(p imagekeeper.Progress) error {
			if p.Failed {
				failed = append(failed, name+": "+p.Message)
				step = p.Hint
			}
			p.Done, p.Failed = false, false
			return write(p)
		})
		if err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return write(imagekeeper.Progress{Message: strings.Join(failed, "; "), Hint: step, Failed: true})
	}
	return write(imagekeeper.Progress{Message: "all images are as the registries have them", Done: true})
}

func (k *Keeper) serveImport(w http.ResponseWriter, r *http.Request) error {
	// The archive is read while the answer is written.
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	interrupt := func() { _ = control.SetReadDeadline(time.Now()) }
	j, err := k.Import(r.Context(), r.URL.Query().Get("name"), r.Body, interrupt)
	if err != nil {
		return err
	}
	// An interrupted read ends the request's context, which ends the import; its last step is still to be written.
	return j.follow(context.WithoutCancel(r.Context()), streamer(w))
}

func (k *Keeper) serveRemove(w http.ResponseWriter, r *http.Request) error {
	var req imagekeeper.RemoveRequest
	if err := read(w, r, &req); err != nil {
		return err
	}
	if err := k.Remove(r.Context(), req.Name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (k *Keeper) servePrune(w http.ResponseWriter, r *http.Request) error {
	var req imagekeeper.PruneRequest
	if err := read(w, r, &req); err != nil {
		return err
	}
	return answer(w)(k.Prune(r.Context(), req))
}

func (k *Keeper) serveRollback(w http.ResponseWriter, r *http.Request) error {
	var req imagekeeper.RollbackRequest
	if err := read(w, r, &req); err != nil {
		return err
	}
	return answer(w)(k.Rollback(r.Context(), req))
}

// stream writes a job's steps, one JSON value a line.
func stream(w http.ResponseWriter, r *http.Request, j *job) error {
	return j.follow(r.Context(), streamer(w))
}

func streamer(w http.ResponseWriter) func(imagekeeper.Progress) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	return func(p imagekeeper.Progress) error {
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute))
		if err := enc.Encode(p); err != nil {
			return context.Canceled // the client has gone away
		}
		return control.Flush()
	}
}
