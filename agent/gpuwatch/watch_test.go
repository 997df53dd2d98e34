package gpuwatch

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// newWatch has a specification and tools of the test's making.
func newWatch(t *testing.T, run func(ctx context.Context, name string, args ...string) ([]byte, error)) (w *Watch,
	spec string, log *strings.Builder) {
	t.Helper()
	dir := t.TempDir()
	spec, log = filepath.Join(dir, "a.yaml"), &strings.Builder{}
	if err := os.WriteFile(spec, []byte("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: [{name: \"0\", "+
		"containerEdits: {deviceNodes: [{path: /dev/nvidia1}]}}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{Dirs: []string{dir}, File: filepath.Join(t.TempDir(), "state.json"), Proc: "/proc",
		Sys: "/sys", Every: Every, Log: slog.New(slog.NewTextHandler(log, nil)), Run: run})
	if err != nil {
		t.Fatal(err)
	}
	return w, spec, log
}

// TestRun follows the file from the first specification to the last.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards fails
		var fails error
		output := sample(t, "nvidia-550-mig.xml")
		set := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			fails = err
		}
		w, spec, log := newWatch(t, func(_ context.Context, name string, _ ...string) ([]byte, error) {
			if name != "nvidia-smi" {
				return nil, ErrNoTool
			}
			mu.Lock()
			defer mu.Unlock()
			if fails != nil {
				return nil, fails
			}
			return []byte(output), nil
		})
		ended := make(chan error)
		ready := 0
		go func() { ended <- w.Run(t.Context(), func() { ready++ }) }()
		time.Sleep(time.Second)
		synctest.Wait()
		read := func() gpu.State {
			t.Helper()
			s, err := gpu.ReadState(w.cfg.File)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if s := read(); len(s.Devices) != 4 || s.Devices[0].Hour.Busy != 0.97 || len(s.Tools) != 1 ||
			s.Tools[0].Error != "" || ready != 1 {
			t.Errorf("state %+v, ready %d times", s, ready)
		}
		if info, err := os.Stat(w.cfg.File); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("the file: %v, %v", info, err)
		}
		set(errors.New("it hangs"))
		time.Sleep(5 * Every)
		synctest.Wait()
		if s := read(); s.Tools[0].Error != "it hangs" || len(s.Devices) != 4 ||
			s.Devices[0].Model != "NVIDIA H100 80GB HBM3" ||
			s.Devices[0].Now.Known || !s.Devices[0].Hour.Known || s.Devices[0].Processes != nil {
			t.Errorf("a tool that fails: %+v", s)
		}
		set(nil)
		time.Sleep(2 * Every)
		synctest.Wait()
		if err := os.Remove(spec); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "does not report"); n != 1 ||
			!strings.Contains(log.String(), "works again") {
			t.Errorf("the log:\n%s", log)
		}
		if _, err := os.Stat(w.cfg.File); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file after the end: %v", err)
		}
	})
}

// TestAsk checks what is known when a tool reports a part, and how much of it is written.
func TestAsk(t *testing.T) {
	many := "<nvidia_smi_log><gpu><minor_number>0</minor_number><processes>" +
		strings.Repeat("<process_info><pid>1073741824</pid></process_info>", 2*maxProcesses) +
		"</processes></gpu></nvidia_smi_log>"
	w, _, _ := newWatch(t, func(_ context.Context, name string, _ ...string) ([]byte, error) {
		if name != "nvidia-smi" {
			return nil, ErrNoTool
		}
		return []byte(many), errors.New("a GPU is lost")
	})
	s := w.measure(t.Context(), gpu.Read(w.cfg.Dirs...))
	if len(s.Devices) != 2 || s.Devices[0].Node != "/dev/nvidia0" || s.Devices[0].Health != "" ||
		s.Devices[1].Node != "/dev/nvidia1" || s.Devices[1].Health == "" || s.Tools[0].Error != "a GPU is lost" {
		t.Errorf("a part: %+v", s)
	}
	if n := len(s.Devices[0].Processes); n != maxProcesses {
		t.Errorf("%d processes are reported", n)
	}
}
