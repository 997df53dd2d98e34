package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

const gigabyte = 1_000_000_000

// host is the throwaway host that test/bench/run has booted and provisioned. It has this
// machine's kernel and clocks, and its files and sockets can be reached from here, so that
// no measured time holds the start of a command on it.
type host struct {
	name, lab string // as test/lab/lab knows it, and that program
	root      string // a path of its files
	bus       *dbus.Conn
	launcher  *launcherbus.Client
	keeper    *imagekeeper.Client
	accounts  int // made so far
}

func theHost() (*host, error) {
	h := &host{name: os.Getenv("GIFFORD_LAB"), lab: os.Getenv("GIFFORD_LAB_COMMAND")}
	if h.name == "" || h.lab == "" {
		return nil, errors.New("there is no host to measure on: run test/bench/run, which boots one")
	}
	out, err := exec.Command(h.lab, "root", h.name).Output()
	if err != nil {
		return nil, fmt.Errorf("%s root %s: %w", h.lab, h.name, err)
	}
	h.root = strings.TrimSpace(string(out))
	if err := os.MkdirAll(h.path(workDir), 0o755); err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (*dbus.Conn, error) {
		return dbus.Connect("unix:path="+h.path("/run/dbus/system_bus_socket"), dbus.WithContext(ctx))
	}
	if h.bus, err = dial(context.Background()); err != nil {
		return nil, fmt.Errorf("the bus of host %q: %w", h.name, err)
	}
	if h.launcher, err = launcherbus.New(launcherbus.Config{Dial: dial, Log: quiet}); err != nil {
		return nil, err
	}
	h.keeper = imagekeeper.New(h.path("/run/gifford-images/control.sock"))
	return h, nil
}

func (h *host) close() {
	h.launcher.Close()
	_ = h.bus.Close()
}

// path returns one of the host's paths as it is here.
func (h *host) path(p string) string { return filepath.Join(h.root, p) }

// run runs a shell script on the host as root, with arguments from $1.
func (h *host) run(ctx context.Context, script string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.lab, append([]string{"enter", h.name, "--", "sh", "-ec", script, "bench"},
		args...)...)
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("on the host, %s: %w\n%s%s", script, err, out.String(), failure.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// account is a member who has never been on the host.
type account struct {
	name string
	uid  uint32
}

// members makes accounts bench001…: as a directory's, without subordinate ids or a home.
func (h *host) members(ctx context.Context, n int) ([]account, error) {
	list := make([]account, n)
	var script strings.Builder
	for i := range list {
		h.accounts++
		list[i] = account{fmt.Sprintf("bench%03d", h.accounts), uint32(20000 + h.accounts)}
		fmt.Fprintf(&script, "useradd --no-create-home --home-dir /cluster/%[1]s --uid %[2]d --user-group -K "+
			"SUB_UID_COUNT=0 -K SUB_GID_COUNT=0 --groups cgs %[1]s\n",
			list[i].name, list[i].uid)
	}
	_, err := h.run(ctx, script.String())
	return list, err
}

// member is members for one.
func (h *host) member(ctx context.Context) (account, error) {
	list, err := h.members(ctx, 1)
	return list[0], err
}

// addProfile adds a profile to the policy and lets the image keeper load its image.
func (h *host) addProfile(ctx context.Context, text, name string) error {
	f, err := os.OpenFile(h.path(policy.File), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "\n%s", text); err != nil {
		return err
	}
	if err := h.keeper.Ensure(ctx, name, func(imagekeeper.Progress) {}); err != nil {
		return fmt.Errorf("the image keeper and profile %q: %w", name, err)
	}
	return nil
}

// diskUse returns the bytes that directories of the host take on disk together.
func (h *host) diskUse(ctx context.Context, dirs ...string) (float64, error) {
	out, err := h.run(ctx, `du -scxB1 "$@" | tail -n 1 | cut -f1`, dirs...)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(out, 64)
}

// needFree returns an error if the disk of the host has less than that many GB free.
func (h *host) needFree(gb float64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(h.path(workDir), &fs); err != nil {
		return fmt.Errorf("%s: %w", workDir, err)
	}
	if free := float64(fs.Bavail) * float64(fs.Bsize) / gigabyte; free < gb {
		return fmt.Errorf("the disk of the throwaway host has %.1f GB free and this needs about %.1f: archive, "+
			"image store, the peer's two copies, and what Podman unpacks on the way\n"+
			"hint: set GIFFORD_RUN to a directory on a larger disk, or leave large images out with "+
			"BENCH_SIZES=\"0.1 1.4\"", free, gb)
	}
	return nil
}

// settle writes dirty pages to the disk, so that a round does not pay for the one before.
func (h *host) settle() error {
	f, err := os.Open(h.path(workDir))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// cpuSeconds is what all of the host's processes have used so far.
func (h *host) cpuSeconds() (float64, error) {
	data, err := os.ReadFile(h.path("/sys/fs/cgroup/cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			usec, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return usec / 1e6, err
		}
	}
	return 0, errors.New("cpu.stat has no usage_usec")
}

// monotonic is the clock of systemd's stamps.
func monotonic() (time.Duration, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano()), err
}
