package launcher

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/unit"
)

// defaultServer is the folder of a user's default server; no server can have this name.
const defaultServer = "_"

// folder is one step of a path: its name, owner and mode.
type folder struct {
	name     string
	uid, gid uint32
	mode     uint32
}

// makePath makes folders one below the other, from a base that is root's.
func makePath(base string, steps ...folder) (string, error) {
	fd, err := unix.Open(base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("folder %s: %w", base, err)
	}
	made := base
	for _, s := range steps {
		made = path.Join(made, s.name)
		next, err := makeFolder(fd, s.name, int(s.uid), int(s.gid), s.mode)
		_ = unix.Close(fd)
		if err != nil {
			return "", fmt.Errorf("folder %s: %w", made, err)
		}
		fd = next
	}
	return made, unix.Close(fd)
}

// makeFolders makes the member's own folder on local disk, the configuration of their
// image store, and the folder of the server's socket: the member's, with the hub's group,
// which a socket made in it inherits, and closed to everybody else.
func (l *Launcher) makeFolders(req *unit.Request, a accounts.Account, hubGID uint32) (err error) {
	name := a.User.String()
	if req.StateDir, err = makePath(l.cfg.StateDir, folder{"users", 0, 0, 0o711}, folder{name, a.UID, a.GID, 0o700}); err != nil {
		return err
	}
	conf, err := makePath(l.cfg.RunDir, folder{"users", 0, 0, 0o711}, folder{name, 0, 0, 0o755})
	if err != nil {
		return err
	}
	req.StorageConf = path.Join(conf, "storage.conf")
	if err := replaceFile(req.StorageConf, storageConf(req), 0o644); err != nil {
		return err
	}
	server := req.Key.Server.String()
	if req.Key.Server.IsDefault() {
		server = defaultServer
	}
	req.SocketDir, err = makePath(l.cfg.RunDir, folder{"servers", 0, 0, 0o711}, folder{name, 0, 0, 0o711}, folder{server, a.UID, hubGID, 0o2710})
	return err
}

// storageConf keeps the member's images on local disk (containers-storage.conf(5)). A
// rootless Podman takes rootless_storage_path and not graphroot.
func storageConf(req *unit.Request) string {
	storage := path.Join(req.StateDir, "storage")
	var b strings.Builder
	b.WriteString("# Written by gifford-launcher at each start of a server.\n[storage]\n")
	fmt.Fprintf(&b, "driver = \"overlay\"\nrunroot = \"/run/user/%d/containers\"\ngraphroot = %q\nrootless_storage_path = %q\n", req.UID, storage, storage)
	return b.String()
}

// replaceFile writes a file in a folder that only root can change.
func replaceFile(name, content string, mode os.FileMode) error {
	temporary := name + ".new"
	_ = os.Remove(temporary)
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if chmod := f.Chmod(mode); err == nil {
		err = chmod
	}
	if end := f.Close(); err == nil {
		err = end
	}
	if err != nil {
		return fmt.Errorf("file %s: %w", name, err)
	}
	return os.Rename(temporary, name)
}

// writeCredential writes the environment where systemd reads the unit's credential from,
// for root alone, and gives the function that removes it.
func (l *Launcher) writeCredential(req *unit.Request, env string) (func(), error) {
	dir, err := makePath(l.cfg.RunDir, folder{"credentials", 0, 0, 0o700})
	if err != nil {
		return nil, err
	}
	req.EnvFile = path.Join(dir, req.Key.String()+".env")
	if err := replaceFile(req.EnvFile, env, 0o600); err != nil {
		return nil, err
	}
	return func() {
		if err := os.Remove(req.EnvFile); err != nil {
			l.cfg.Log.Error("cannot remove a credential", "event", "credential-left", "unit", req.Key.Unit(), "error", err.Error())
		}
	}, nil
}
