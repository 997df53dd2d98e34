package operator

import (
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

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
