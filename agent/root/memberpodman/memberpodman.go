// Package memberpodman opens Podman's API of one member for root, for as long as a server of theirs runs: a "podman
// system service" in a transient unit of its own, as the member and with the environment of the server's unit, moved
// into the control group of that unit so that it may run commands in the container. The service is the member's
// process, so its answers must never decide about rights. The package must never start anything as root, nor leave the
// service behind.
package memberpodman

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	openTime  = 20 * time.Second // until the API answers
	closeTime = 20 * time.Second // until its unit is gone
	pollEvery = 30 * time.Millisecond
	// runtimeGroup is where Podman itself keeps its processes with --cgroups=split.
	runtimeGroup = "/runtime"
)

// manager is what the package needs of systemd; *systemd.Conn is one.
type manager interface {
	Service(ctx context.Context, name string) (systemd.Service, error)
	StartTransient(ctx context.Context, spec transient.Spec) (systemd.Wait, error)
	Attach(ctx context.Context, name, sub string, pids ...uint32) error
	Stop(ctx context.Context, name string) (systemd.Wait, error)
}

// ErrNotRunning says that the member has no such server that runs.
var ErrNotRunning = errors.New("the server does not run")

// API is the member's Podman. Close it.
type API struct {
	Container string // name of the server's container
	socket    string
	unit      string
	systemd   manager
}

// Open starts the API beside a running server. who is for the unit's description.
func Open(ctx context.Context, m manager, key ident.Key, who string) (*API, error) {
	return open(ctx, m, key, who, "/run")
}

func open(ctx context.Context, m manager, key ident.Key, who, runDir string) (*API, error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	server, err := m.Service(ctx, key.Unit())
	if err != nil && !errors.Is(err, systemd.ErrNotLoaded) {
		return nil, err
	}
	meta, ours := contract.ReadMetadata(key.Unit(), server.Environment)
	if err != nil || server.MainPID == 0 || !ours || server.User != key.User.String() {
		return nil, ErrNotRunning
	}
	a := &API{Container: meta.Container, systemd: m}
	spec := service(key, server, who)
	a.unit, a.socket = spec.Name, path.Join(runDir, socketBelow(spec.Name))
	wait, err := m.StartTransient(ctx, spec)
	if err != nil {
		return nil, err
	}
	err = wait(ctx)
	if err == nil {
		err = a.moveAndWait(ctx, key)
	}
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("podman's API of %s does not answer: %w\nhint: journalctl -u %s", key.User, err,
			strings.TrimSuffix(a.unit, ".service"))
	}
	return a, nil
}

// service is the unit of the API. It ends with the server.
func service(key ident.Key, server systemd.Service, who string) transient.Spec {
	name := "gifford-podman-" + key.String() + "-" + strings.ToLower(rand.Text()[:8]) + ".service"
	environment := []string{}
	for _, e := range server.Environment {
		// Only servers that the launcher made have its variables.
		if !strings.HasPrefix(e, "GIFFORD_") {
			environment = append(environment, e)
		}
	}
	return transient.Spec{Name: name, Properties: []transient.Property{
		{Name: "Description", Value: fmt.Sprintf("Podman's API of %s, for a shell of %s", key, who)},
		{Name: "User", Value: key.User.String()},
		{Name: "Type", Value: "exec"},
		{Name: "ExecStart", Value: []transient.Command{{Path: contract.Helper,
			Args: []string{contract.Helper, contract.ModeAPI, "--unit", key.Unit(), "--socket",
				path.Join("/run", socketBelow(name))}}}},
		{Name: "Environment", Value: environment},
		{Name: "WorkingDirectory", Value: contract.UserDir(key.User)},
		{Name: "RuntimeDirectory", Value: []string{directory(name)}},
		{Name: "RuntimeDirectoryMode", Value: uint32(0o700)},
		{Name: "BindsTo", Value: []string{key.Unit()}},
		{Name: "After", Value: []string{key.Unit()}},
		{Name: "CollectMode", Value: "inactive-or-failed"},
		{Name: "SyslogIdentifier", Value: "gifford-podman"},
		// It ends on SIGTERM, and Podman says so with an exit status.
		{Name: "SuccessExitStatus", Value: transient.ExitStatuses{Codes: []int32{128 + 15, 1, 2}, Signals: []int32{}}},
	}}
}

// directory is below /run. A socket's path must stay below 108 bytes, so it is not the unit's name.
func directory(unitName string) string {
	id := strings.TrimSuffix(unitName, ".service")
	return "gifford-podman-" + id[strings.LastIndexByte(id, '-')+1:]
}

func socketBelow(unitName string) string { return path.Join(directory(unitName), "api.sock") }

// moveAndWait puts the service into the server's control group and waits for its socket.
func (a *API) moveAndWait(ctx context.Context, key ident.Key) error {
	s, err := a.systemd.Service(ctx, a.unit)
	if err != nil {
		return err
	}
	if s.MainPID == 0 {
		return errors.New("it has ended")
	}
	if err := a.systemd.Attach(ctx, key.Unit(), runtimeGroup, s.MainPID); err != nil {
		return err
	}
	for {
		conn, err := net.Dial("unix", a.socket)
		if err == nil {
			return conn.Close()
		}
		if s, err := a.systemd.Service(ctx, a.unit); err != nil || s.MainPID == 0 {
			return errors.New("it has ended")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

// Close ends the API.
func (a *API) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if wait, err := a.systemd.Stop(ctx, a.unit); err == nil {
		_ = wait(ctx)
	}
}
