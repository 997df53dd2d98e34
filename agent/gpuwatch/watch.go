// Package gpuwatch asks the vendors' tools about the state of the GPUs and writes the answers to a file for the
// launcher. It runs as an account of its own. It must never run as root, change a device, or rely on a tool to answer,
// in time or at all.
package gpuwatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// Every is how often the tools are asked.
const Every = 10 * time.Second

// maxProcesses is how many processes of a device are reported. Members may start any number, and gpu.ReadState bounds
// the file.
const maxProcesses = 100

// Config is what a Watch needs. All fields are required but where said.
type Config struct {
	Dirs  []string // of CDI specifications: gpu.DefaultDirs()
	File  string   // gpu.StateFile
	Proc  string   // "/proc"
	Sys   string   // "/sys"
	Every time.Duration
	Log   *slog.Logger
	// Run runs a tool and returns its output; nil runs it. ErrNoTool means that the host does not have it. The output
	// of one that failed counts too.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// Watch measures the devices at an interval. Make it with New.
type Watch struct {
	cfg    Config
	past   history
	last   map[string][]gpu.Facts // by tool, what it last reported
	failed map[string]string      // what was logged of a tool
}

// New makes a Watch.
func New(cfg Config) (*Watch, error) {
	if len(cfg.Dirs) == 0 || cfg.File == "" || cfg.Proc == "" || cfg.Sys == "" || cfg.Every <= 0 || cfg.Log == nil {
		return nil, errors.New("cannot watch GPUs: directories, file, proc, sys, interval and log are required")
	}
	if cfg.Run == nil {
		cfg.Run = new(runner).run
	}
	return &Watch{cfg: cfg, past: history{}, last: map[string][]gpu.Facts{}, failed: map[string]string{}}, nil
}

// Run writes the state until ctx ends or the host has no CDI specification any more. Neither is an error. It calls
// ready after it has written the first state.
func (w *Watch) Run(ctx context.Context, first func()) error {
	defer func() { _ = os.Remove(w.cfg.File) }()
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		inv := gpu.Read(w.cfg.Dirs...)
		if len(inv.Devices)+len(inv.Broken) == 0 {
			w.cfg.Log.Info("no CDI specification found", "event", "no-devices")
			return nil
		}
		if err := write(w.cfg.File, w.measure(ctx, inv)); err != nil {
			return err
		}
		if first != nil {
			first()
			first = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tool is a vendor's program and the reader of its answers.
type tool struct {
	name string
	args []string
	read func(sys string, output []byte) ([]gpu.Facts, error)
	// lost returns devices that are missing in its answer; nil when that is unknown.
	lost func(reported, before []gpu.Facts, inv gpu.Inventory) []gpu.Facts
}

var tools = []tool{ // read only
	{"nvidia-smi", []string{"-q", "-x"}, readNVIDIA, lostNVIDIA},
	{"rocm-smi", []string{"--showproductname", "--showmeminfo", "vram", "--showuse", "--showuniqueid", "--showbus",
		"--showpids", "--json"}, readROCm, nil},
}

// measure asks all tools that the host has.
func (w *Watch) measure(ctx context.Context, inv gpu.Inventory) gpu.State {
	s := gpu.State{Tools: []gpu.Tool{}, Devices: []gpu.Facts{}}
	for _, t := range tools {
		facts, err := w.ask(ctx, t, inv)
		if errors.Is(err, ErrNoTool) {
			delete(w.last, t.name)
			continue
		}
		status := gpu.Tool{Name: t.name}
		if err != nil {
			status.Error = err.Error()
		}
		w.logOnce(ctx, t.name, status.Error)
		s.Tools = append(s.Tools, status)
		s.Devices = append(s.Devices, facts...)
	}
	s.Measured = time.Now().UTC() // a tool may have been slow
	w.complete(&s)
	return s
}

// complete adds what the tools do not report: the owners of processes, and the last hour.
func (w *Watch) complete(s *gpu.State) {
	procs := processes(w.cfg.Proc)
	for i := range s.Devices {
		d := &s.Devices[i]
		d.Processes = d.Processes[:min(len(d.Processes), maxProcesses)]
		for j := range d.Processes {
			d.Processes[j] = procs.describe(d.Processes[j])
		}
		d.Hour, d.Busiest = w.past.add(cmp.Or(d.UUID, d.Node+" "+d.Part), s.Measured, d.Now)
	}
	w.past.forget(s.Measured)
}

// ask asks one tool. When the tool does not answer, constant facts stay as they were: a GPU does not lose its model
// because the tool was slow.
func (w *Watch) ask(ctx context.Context, t tool, inv gpu.Inventory) ([]gpu.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	out, err := w.cfg.Run(ctx, t.name, t.args...)
	if errors.Is(err, ErrNoTool) {
		return nil, err
	}
	facts, unread := t.read(w.cfg.Sys, out)
	if unread != nil {
		for _, f := range w.last[t.name] {
			facts = append(facts, still(f))
		}
		return facts, cmp.Or(err, unread)
	}
	if t.lost != nil {
		facts = append(facts, t.lost(facts, w.last[t.name], inv)...)
	}
	w.last[t.name] = facts
	return facts, err
}

// logOnce reports when a tool begins to fail, fails in another way, or works again.
func (w *Watch) logOnce(ctx context.Context, name, problem string) {
	if w.failed[name] == problem || ctx.Err() != nil {
		return
	}
	w.failed[name] = problem
	if problem == "" {
		w.cfg.Log.Info("a vendor's tool works again", "event", "tool-works", "tool", name)
		return
	}
	w.cfg.Log.Warn("a vendor's tool does not report the GPUs", "event", "tool-failed", "tool", name, "error", problem)
}

// write replaces the file atomically: readers see the old or the new state.
func write(file string, s gpu.State) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	temp := filepath.Join(filepath.Dir(file), ".new")
	if err := os.WriteFile(temp, data, 0o644); err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	if err := errors.Join(os.Chmod(temp, 0o644), os.Rename(temp, file)); err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}

// oneLine returns a tool's text as one line of a page or the journal.
func oneLine(text string) string { return printable.Line(text, 300) }
