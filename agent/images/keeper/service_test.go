package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// fakeVariable is set in the environment of a test program that stands in for podman or its child.
const fakeVariable = "GIFFORD_FAKE_PODMAN"

func TestMain(m *testing.M) {
	switch os.Getenv(fakeVariable) {
	case "service":
		servePodman(strings.TrimPrefix(os.Args[len(os.Args)-1], "unix://"))
	case "untar":
		unpackForEver()
	default:
		os.Exit(m.Run())
	}
}

// servePodman is podman's API service. What it does is in the archive: an answer, or "unpack", which does not end. In
// its working directory, the keeper's state directory, it leaves the number of archives and the process that unpacks;
// where that has a file "mute" it does not answer.
func servePodman(socket string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v4.0.0/libpod/_ping", pong)
	mux.HandleFunc("GET /{version}/libpod/_ping", pong)
	mux.HandleFunc("GET /{version}/libpod/images/json", func(w http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat("mute"); err == nil {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, `[{"Id":"`+id(1)+`","Names":["localhost/a:1"]}]`)
	})
	mux.HandleFunc("POST /v4.0.0/libpod/images/load", func(w http.ResponseWriter, r *http.Request) {
		if sent, err := os.OpenFile("sent", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			_, _ = sent.WriteString("x")
			_ = sent.Close()
		}
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if string(text) != "unpack" {
			_, _ = w.Write(text)
			return
		}
		child := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"storage-untar", "/"},
			Env: append(os.Environ(), fakeVariable+"=untar")}
		if err := child.Start(); err == nil {
			_ = os.WriteFile("untar.new", []byte(strconv.Itoa(child.Process.Pid)), 0o600)
			_ = os.Rename("untar.new", "untar")
			_ = child.Wait()
		}
	})
	listener, err := net.Listen("unix", socket)
	if err == nil {
		err = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(listener)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func pong(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Libpod-API-Version", "4.9.5")
	_, _ = io.WriteString(w, "OK")
}

// unpackForEver writes to the temporary files, uses the processor, and ignores SIGTERM.
func unpackForEver() {
	signal.Ignore(syscall.SIGTERM)
	for {
		_ = os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "layer"), make([]byte, 1<<20), 0o600)
	}
}

// newPodman returns a Podman whose program is this test.
func newPodman(t *testing.T) *Podman {
	t.Helper()
	dir, err := os.MkdirTemp("", "podman") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "podman")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n" + fakeVariable + "=service exec '" + self + "' \"$@\"\n"
	state := filepath.Join(dir, "state")
	if err := errors.Join(os.Mkdir(state, 0o700), os.WriteFile(program, []byte(script), 0o755)); err != nil {
		t.Fatal(err)
	}
	p, err := NewPodman(PodmanConfig{RunDir: dir, StateDir: state, Auth: filepath.Join(dir, "none"), Stderr: os.Stderr,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.program = program
	t.Cleanup(func() {
		p.Close()
		_ = os.RemoveAll(dir)
	})
	return p
}

// unpacking begins to load an archive whose layer never ends, and returns the process that unpacks it.
func unpacking(t *testing.T, p *Podman, ctx context.Context) (process int, ended chan error) {
	t.Helper()
	ended = make(chan error, 1)
	go func() {
		_, err := p.load(ctx, strings.NewReader("unpack"))
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			t.Fatalf("the load ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		if text, err := os.ReadFile(filepath.Join(p.cfg.StateDir, "untar")); err == nil {
			if process, err = strconv.Atoi(string(text)); err != nil {
				t.Fatal(err)
			}
			return process, ended
		}
	}
}

// TestTransferEnds checks that when a pull or load is ended, nothing writes to the disk any more, its temporary files
// are gone, and the other services go on.
func TestTransferEnds(t *testing.T) {
	p := newPodman(t)
	if _, err := p.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	shared := p.shared
	ctx, cancel := context.WithCancel(t.Context())
	process, ended := unpacking(t, p, ctx)
	group, err := syscall.Getpgid(process)
	if err != nil {
		t.Fatal(err)
	}
	for unpacked("/proc", group) == 0 { // it must use the processor some time
		time.Sleep(10 * time.Millisecond)
	}
	if n := unpacked("/proc", shared.cmd.Process.Pid); n != 0 {
		t.Errorf("the shared service unpacks: %d", n)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the load ended with %v", err)
	}
	if err := syscall.Kill(process, 0); err == nil && !zombie(process) {
		t.Error("the layer is still unpacked")
	}
	if names := dir(t, p.tmp()); len(names) != 1 || names[0] != filepath.Base(shared.tmp) {
		t.Errorf("in tmp is %v, want the directory of the shared service", names)
	}
	if all, err := p.list(t.Context()); err != nil || len(all) != 1 || p.shared != shared {
		t.Errorf("the shared service: %v, %v", all, err)
	}
}

// zombie reports whether a process has ended and nobody has asked how.
func zombie(process int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	return strings.Contains(string(text), ") Z ")
}

func dir(t *testing.T, name string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestMuteService checks that a service that does not answer is replaced.
func TestMuteService(t *testing.T) {
	p := newPodman(t)
	if _, err := p.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, mute := p.shared, filepath.Join(p.cfg.StateDir, "mute")
	put(t, mute, "")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := p.list(ctx)
	if err == nil || !strings.Contains(err.Error(), "does not answer") || hint.Of(err) == "" {
		t.Errorf("a service that does not answer: %v", err)
	}
	if err := os.Remove(mute); err != nil {
		t.Fatal(err)
	}
	if all, err := p.list(t.Context()); err != nil || len(all) != 1 || p.shared == first || !first.over() {
		t.Errorf("the next service: %v, %v", all, err)
	}
	// Whoever goes away ends nobody's service.
	put(t, mute, "")
	second := p.shared
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := p.list(gone); err == nil || second.over() {
		t.Errorf("a caller that goes away: %v; the service has ended: %v", err, second.over())
	}
}

// TestLoadAnswers checks what Podman's answers to an archive mean.
func TestLoadAnswers(t *testing.T) {
	p := newPodman(t)
	for answer, want := range map[string]string{
		`{"Names":["sha256:` + id(1) + `"]}`: "",
		`{"Names":["localhost/a:1"]}`:        "without a name",
		`{"Names":[]}`:                       "0 images of one",
		`{`:                                  "cannot understand",
	} {
		got, err := p.load(t.Context(), strings.NewReader(answer))
		if want == "" && (err != nil || got != id(1)) || want != "" &&
			(err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v; want %q", answer, got, err, want)
		}
	}
	if _, err := p.load(t.Context(), io.MultiReader(strings.NewReader("x"), broke{})); err == nil {
		t.Error("an archive that cannot be read was loaded")
	}
	if sent, err := os.ReadFile(filepath.Join(p.cfg.StateDir, "sent")); err != nil || len(sent) > 5 {
		t.Errorf("five archives were sent %d times: %v", len(sent), err)
	}
}

type broke struct{}

func (broke) Read([]byte) (int, error) { return 0, errBroken }

// TestTemporaryFiles checks that a keeper removes what one before it has left, and follows no link out of the
// directory.
func TestTemporaryFiles(t *testing.T) {
	run, state, outside := t.TempDir(), t.TempDir(), t.TempDir()
	left := filepath.Join(state, "tmp", "container_images_storage1", "deep")
	put(t, filepath.Join(outside, "file"), "mine")
	if err := errors.Join(os.MkdirAll(left, 0o700), os.WriteFile(filepath.Join(left, "blob"), nil, 0o000),
		os.Symlink(outside, filepath.Join(state, "tmp", "link")), os.Symlink(outside, filepath.Join(left, "link")),
		syscall.Mkfifo(filepath.Join(state, "tmp", "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewPodman(PodmanConfig{RunDir: run, StateDir: state, Auth: filepath.Join(run, "none"),
		Stderr: io.Discard, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if names := dir(t, filepath.Join(state, "tmp")); len(names) > 0 {
		t.Errorf("in tmp is still %v", names)
	}
	if names := dir(t, outside); len(names) != 1 {
		t.Errorf("outside is %v", names)
	}
}
