// Package memberpodman opens Podman's API of one member for as long as a server of theirs runs, and speaks to it. Root
// starts a "podman system service" in a transient unit of its own, as the member and with the environment of the
// server's unit, and moves it into the control group of that unit so that it may run commands in the container. The
// service is the member's process, so root never connects to it: a Session does, in a process that has become the
// member for good. The service's answers must never decide about rights, nor be held in memory without a bound. The
// package must never start anything as root, nor leave the service behind.
package memberpodman

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	openTime  = 20 * time.Second // until the API answers
	closeTime = 20 * time.Second // until its unit is gone
	pollEvery = 30 * time.Millisecond
	// runtimeGroup is where Podman itself puts its processes with --cgroups=split.
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
	Socket    string // absolute path, in the member's directory
	UID, GID  uint32 // the member's
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
	a := &API{Container: meta.Container, UID: meta.UID, systemd: m}
	spec := service(key, server, who)
	a.unit, a.Socket = spec.Name, path.Join(runDir, socketBelow(spec.Name))
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
		return nil, hint.Withf(fmt.Errorf("podman's API of %s does not answer: %w", key.User, err),
			"journalctl -u %s", strings.TrimSuffix(a.unit, ".service"))
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

// moveAndWait puts the service into the server's control group and waits until its socket is there.
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
		found, err := a.socketIsThere()
		if found || err != nil {
			return err
		}
		if s, err := a.systemd.Service(ctx, a.unit); err != nil || s.MainPID == 0 {
			return errors.New("it has ended")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: there is no socket", ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// socketIsThere reports whether the socket's name is taken, and reads the member's group from its directory, which
// systemd has made. It asks nothing of a file system that the member has mounted.
func (a *API) socketIsThere() (bool, error) {
	dir, err := nofollow.Directory(path.Dir(a.Socket))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // gone with its unit
	} else if err != nil {
		return false, err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return false, err
	}
	a.GID = nofollow.Group(info)
	entry, err := nofollow.Entry(dir, path.Base(a.Socket), false)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, entry.Close()
}

// Close ends the API.
func (a *API) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if wait, err := a.systemd.Stop(ctx, a.unit); err == nil {
		_ = wait(ctx)
	}
}
