// Package launcher is the root side of gifford-hub: it checks a request against the policy, prepares the member's
// runtime, asks systemd for the unit and announces its end. Its table of operations is all that the bus can make root
// do. It must never run a shell or a program but getent, journalctl and "podman --version", open a network
// connection, take a path, image, limit or argument from a caller, or follow a link that a member made.
package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/lease"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// directory is the host's name service.
type directory interface {
	Lookup(ctx context.Context, user ident.User) (accounts.Account, error)
	Group(ctx context.Context, name string) (accounts.Group, error)
}

// manager changes what systemd runs.
type manager interface {
	Start(ctx context.Context, name string) (systemd.Wait, error)
	StartTransient(ctx context.Context, spec transient.Spec) (systemd.Wait, error)
	Stop(ctx context.Context, name string) (systemd.Wait, error)
	Kill(ctx context.Context, name string) error
	ResetFailed(ctx context.Context, name string) error
	EnableLinger(ctx context.Context, uid uint32) error
}

// units reports what systemd runs.
type units interface {
	Get(ctx context.Context, name string) (systemd.Unit, error)
	List(ctx context.Context, pattern string) ([]systemd.Status, error)
	Outcome(ctx context.Context, name string) (systemd.Outcome, error)
	Processes(ctx context.Context, name string) (int, error)
}

// Config is what a Launcher needs. All fields are required.
type Config struct {
	// Policy reads launcher.toml. It is called for each request, so that a change of the file counts at once.
	Policy func() (*policy.Policy, error)
	// Accounts is the host's name service.
	Accounts directory
	// Manager and Units are systemd.
	Manager manager
	Units   units
	// Podman returns the version of the host's podman.
	Podman func(ctx context.Context) (contract.PodmanVersion, error)
	// Journal reads the journal of one unit for Log, which has checked the request.
	Journal func(ctx context.Context, r launcherbus.LogRequest) (launcherbus.Log, error)
	// Hub is the account of the hub: who may call besides root, and the group of the directories with the servers'
	// sockets.
	Hub accounts.Account
	// ImagesGID is the image keeper's group, which may lock the images; 0 where there is no image keeper.
	ImagesGID uint32
	// Emit announces a change to the hub. It must not block.
	Emit func(launcherbus.Event)
	// RunDir, StateDir, EtcDir and Store are contract.RunDir, contract.StateDir, /etc and imagestore.Dir; tests have
	// others.
	RunDir, StateDir, EtcDir, Store string
	// CDI are the directories with the specifications of devices, gpu.DefaultDirs(). GPUState is the file of
	// gifford-gpus, gpu.StateFile. Tests have others.
	CDI      []string
	GPUState string
	// Log gets what an operator acts on.
	Log *slog.Logger
}

// Launcher does the operations. Make it with New, then Adopt, then serve and Tidy.
type Launcher struct {
	cfg     Config
	files   files
	ids     subIDs
	users   userLocks
	lending lending
	life    context.Context // ends with Close
	end     context.CancelFunc
	wg      sync.WaitGroup // cleaning up after units

	mu      sync.Mutex // guards servers
	servers map[ident.Key]*server
}

// New opens the launcher's directories.
func New(cfg Config) (*Launcher, error) {
	if cfg.Policy == nil || cfg.Accounts == nil || cfg.Manager == nil || cfg.Units == nil || cfg.Podman == nil ||
		cfg.Journal == nil || cfg.Emit == nil || cfg.Log == nil {
		return nil, errors.New("cannot make the launcher: every field of its configuration is required")
	}
	var roots [3]*os.Root
	for i, dir := range []string{cfg.RunDir, cfg.StateDir, cfg.EtcDir} {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot open the launcher's directory %s: %w", dir, err)
		}
		roots[i] = root
	}
	life, end := context.WithCancel(context.Background())
	l := &Launcher{
		cfg: cfg, files: files{run: roots[0], state: roots[1], hubGID: cfg.Hub.GID, imagesGID: cfg.ImagesGID},
		ids: subIDs{etc: roots[2], state: roots[1]}, servers: map[ident.Key]*server{},
		lending: lending{lent: map[ident.Key]lease.Lease{}}, life: life, end: end,
	}
	return l, l.files.layOut()
}

// Close waits until the files of ended servers are removed. Those of which systemd does not say whether they have ended
// are the next launcher's.
func (l *Launcher) Close() {
	l.end()
	l.wg.Wait()
}

// fail makes an error for people with a code.
func fail(code launcherbus.Code, format string, args ...any) *launcherbus.Error {
	return &launcherbus.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
