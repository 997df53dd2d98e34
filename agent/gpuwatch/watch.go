// Package gpuwatch asks the vendors' tools what the GPUs do and leaves it in a file for
// the launcher. It runs as an account of its own: it must never run as root, change a
// device, or believe that a tool answers, in time or at all.
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
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// Every is how often the tools are asked.
const Every = 10 * time.Second

// Config is what a Watch needs. All fields are required but where said.
type Config struct {
	Dirs  []string // of CDI specifications: gpu.DefaultDirs()
	File  string   // gpu.StateFile
	Proc  string   // "/proc"
	Sys   string   // "/sys"
	Every time.Duration
	Log   *slog.Logger
	// Run runs a tool and gives its output; nil runs it. exec.ErrNotFound means that the host
	// does not have it.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// Watch asks again and again.
type Watch struct {
	cfg    Config
	past   history
	failed map[string]string // what was logged of a tool
}

// New makes a Watch.
func New(cfg Config) (*Watch, error) {
	if len(cfg.Dirs) == 0 || cfg.File == "" || cfg.Proc == "" || cfg.Sys == "" || cfg.Every <= 0 || cfg.Log == nil {
		return nil, errors.New("cannot watch GPUs: folders, file, proc, sys, interval and log are required")
	}
	if cfg.Run == nil {
		cfg.Run = runTool
	}
	return &Watch{cfg: cfg, past: history{}, failed: map[string]string{}}, nil
}

// Run writes the state until ctx ends or the host has no CDI specification any more; both
// are no error. first is called when the state was written for the first time.
func (w *Watch) Run(ctx context.Context, first func()) error {
	defer func() { _ = os.Remove(w.cfg.File) }()
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		inv := gpu.Read(w.cfg.Dirs...)
		if len(inv.Devices)+len(inv.Broken) == 0 {
			w.cfg.Log.Info("there is no CDI specification", "event", "no-devices")
			return nil
		}
		if err := write(w.cfg.File, w.look(ctx)); err != nil {
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

// tool is a vendor's program and what understands it.
type tool struct {
	name string
	args []string
	read func(sys string, output []byte) ([]gpu.Facts, error)
}

var tools = []tool{ // read only
	{"nvidia-smi", []string{"-q", "-x"}, readNVIDIA},
	{"rocm-smi", []string{"--showproductname", "--showmeminfo", "vram", "--showuse", "--showuniqueid", "--showbus", "--showpids", "--json"}, readROCm},
}

// look asks all tools that the host has.
func (w *Watch) look(ctx context.Context) gpu.State {
	s := gpu.State{Measured: time.Now().UTC(), Tools: []gpu.Tool{}, Devices: []gpu.Facts{}}
	for _, t := range tools {
		facts, err := w.ask(ctx, t)
		if errors.Is(err, errNoTool) {
			continue
		}
		told := gpu.Tool{Name: t.name}
		if err != nil {
			told.Error = err.Error()
		}
		w.logOnce(ctx, t.name, told.Error)
		s.Tools = append(s.Tools, told)
		s.Devices = append(s.Devices, facts...)
	}
	procs := processes(w.cfg.Proc)
	for i := range s.Devices {
		d := &s.Devices[i]
		for j := range d.Processes {
			d.Processes[j] = procs.describe(d.Processes[j])
		}
		d.Hour, d.Busiest = w.past.add(cmp.Or(d.UUID, d.Node+" "+d.Part), s.Measured, d.Now)
	}
	w.past.forget(s.Measured)
	return s
}

func (w *Watch) ask(ctx context.Context, t tool) ([]gpu.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	out, err := w.cfg.Run(ctx, t.name, t.args...)
	if err != nil {
		return nil, err
	}
	return t.read(w.cfg.Sys, out)
}

// logOnce tells when a tool begins to fail, fails in another way, or works again.
func (w *Watch) logOnce(ctx context.Context, name, problem string) {
	if w.failed[name] == problem || ctx.Err() != nil {
		return
	}
	w.failed[name] = problem
	if problem == "" {
		w.cfg.Log.Info("a vendor's tool works again", "event", "tool-works", "tool", name)
		return
	}
	w.cfg.Log.Warn("a vendor's tool tells nothing of the GPUs", "event", "tool-failed", "tool", name, "error", problem)
}

// write replaces the file at once: readers see the old or the new state.
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

// oneLine is a tool's words for a line of a page or the journal.
func oneLine(text string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r <= ' ' || r == 0x7f })
	line := []rune(strings.Join(words, " "))
	return string(line[:min(len(line), 300)])
}

// history is what was measured in the last hour, by device.
type history map[string][]minute

// minute sums up what was measured in a minute.
type minute struct {
	at           time.Time
	n            int
	busy, memory float64
	top          gpu.Load
}

const hour = 60 * time.Minute

// add takes a reading and gives the average and the highest of the hour.
func (h history) add(device string, now time.Time, l gpu.Load) (average, highest gpu.Load) {
	all := slices.DeleteFunc(h[device], func(m minute) bool { return now.Sub(m.at) >= hour })
	if l.Known {
		at := now.Truncate(time.Minute)
		if len(all) == 0 || !all[len(all)-1].at.Equal(at) {
			all = append(all, minute{at: at})
		}
		m := &all[len(all)-1]
		m.n, m.busy, m.memory = m.n+1, m.busy+l.Busy, m.memory+float64(l.Memory)
		m.top = gpu.Load{Known: true, Busy: max(m.top.Busy, l.Busy), Memory: max(m.top.Memory, l.Memory)}
	}
	h[device] = all
	var busy, memory float64
	for _, m := range all {
		busy, memory = busy+m.busy/float64(m.n), memory+m.memory/float64(m.n)
		highest = gpu.Load{Known: true, Busy: max(highest.Busy, m.top.Busy), Memory: max(highest.Memory, m.top.Memory)}
	}
	if n := float64(len(all)); n > 0 {
		average = gpu.Load{Known: true, Busy: busy / n, Memory: uint64(memory / n)}
	}
	return average, highest
}

// forget drops devices that are gone for an hour.
func (h history) forget(now time.Time) {
	for device, all := range h {
		if len(all) == 0 || now.Sub(all[len(all)-1].at) >= hour {
			delete(h, device)
		}
	}
}
