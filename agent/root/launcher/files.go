package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// files is what root writes below the launcher's two directories. An os.Root goes down name by name and follows no link
// out of them. What belongs to a member is only ever the last part of a path, in a directory of root's.
type files struct {
	run, state *os.Root
	hubGID     uint32
	imagesGID  uint32 // the image keeper's group
}

// Modes: anybody may pass root's directories; nobody may list or write them.
const (
	passage    = 0o711
	listed     = 0o755 // the image keeper reads which images are in use
	private    = 0o700
	socketMode = 0o710 | fs.ModeSetgid // the socket gets the hub's group from its directory
)

// resolvConf is for containers whose network the helper attaches.
const resolvConf = "# made by gifford-launcher: pasta hands questions to the host's resolver\nnameserver " +
	contract.DNSForward + "\n"

// layOut makes root's own directories and files.
func (f files) layOut() error {
	for _, dir := range []struct {
		root *os.Root
		name string
		mode fs.FileMode
	}{{f.run, "users", passage}, {f.run, "servers", passage}, {f.run, "credentials", private},
		{f.run, "requests", private}, {f.run, "images", listed}, {f.state, "users", passage},
		{f.state, "images", listed}, {f.state, "kept", private}} {
		if err := ownDirectory(dir.root, dir.name, dir.mode); err != nil {
			return err
		}
	}
	if err := f.openLock(); err != nil {
		return err
	}
	return replace(f.run, path.Base(contract.ResolvConf), resolvConf, 0o644)
}

// ownDirectory makes one of root's directories, or resets its mode.
func ownDirectory(root *os.Root, name string, mode fs.FileMode) error {
	if err := root.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make the launcher's directory: %w", err)
	}
	return root.Chmod(name, mode)
}

// replace writes a whole file of root's at once: readers see the old or the new one.
func replace(root *os.Root, name, content string, mode fs.FileMode) error {
	temp := name + ".new"
	if err := root.WriteFile(temp, []byte(content), mode); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	if err := errors.Join(root.Chmod(temp, mode), root.Rename(temp, name)); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

// prepare makes what a server needs below the launcher's directories.
func (f files) prepare(in unit.Input, a accounts.Account, env map[string]string) error {
	if err := f.prepareUser(a); err != nil {
		return err
	}
	if err := f.prepareServer(in.Key, a); err != nil {
		return err
	}
	if in.Profile.Persistent {
		// A container must be on record before it is made, or nothing could ever remove it.
		c := container{in.Profile.Name, in.Settings(), deviceNames(in.Devices)}
		if err := f.noteContainer(in.Key, c); err != nil {
			return err
		}
	}
	if err := f.writeViewRequest(in); err != nil {
		return err
	}
	return f.writeCredential(in.Key, unit.EnvFile(in, env))
}

// prepareUser makes the directory of the member's podman and its settings.
func (f files) prepareUser(a accounts.Account) error {
	name := a.User.String()
	if err := memberDirectory(f.state, path.Join("users", name), private, a.UID, a.GID); err != nil {
		return err
	}
	if err := ownDirectory(f.run, path.Join("users", name), passage); err != nil {
		return err
	}
	own := contract.Storage{Graph: contract.UserStorage(a.User), Run: contract.RunRoot(a.UID)}
	return replace(f.run, path.Join("users", name, contract.StorageConfName), string(own.Conf("gifford-launcher")),
		0o644)
}

// memberDirectory makes a directory that belongs to a member in a directory of root's. One that exists must be theirs.
func memberDirectory(root *os.Root, name string, mode fs.FileMode, uid, gid uint32) error {
	err := root.Mkdir(name, private)
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make a member's directory: %w", err)
	}
	dir, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("cannot open a member's directory: %w", err)
	}
	defer dir.Close()
	if made {
		// The owner comes last: as long as the directory is root's, no capability is needed.
		return errors.Join(dir.Chmod(mode), dir.Chown(int(uid), int(gid)))
	}
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	if owner := nofollow.Owner(info); owner != uid || !info.IsDir() {
		return fmt.Errorf("%s belongs to uid %d, not to %d: was the account made again? move the directory away", name,
			owner, uid)
	}
	return nil
}

// prepareServer makes an empty directory for the server's socket. It belongs to the member, and the hub's group may
// pass it.
func (f files) prepareServer(key ident.Key, a accounts.Account) error {
	parts := contract.SocketDirParts(key)
	if err := ownDirectory(f.run, path.Join(parts[0], parts[1]), passage); err != nil {
		return err
	}
	name := path.Join(parts[:]...)
	if err := f.run.RemoveAll(name); err != nil {
		return fmt.Errorf("cannot empty the directory of the socket: %w", err)
	}
	return memberDirectory(f.run, name, socketMode, a.UID, f.hubGID)
}

func credentialName(key ident.Key) string {
	return path.Join("credentials", contract.CredentialName(key))
}

// writeCredential leaves the server's environment for systemd in a file that only root can read.
func (f files) writeCredential(key ident.Key, content []byte) error {
	f.removeCredential(key)
	file, err := f.run.OpenFile(credentialName(key), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the server's environment: %w", err)
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		f.removeCredential(key)
		return fmt.Errorf("cannot write the server's environment: %w", err)
	}
	return nil
}

func (f files) removeCredential(key ident.Key) { _ = f.run.Remove(credentialName(key)) }

// clear removes what a server has left. Its unit is gone, so no container runs. What cannot be removed now is removed
// before the next start.
func (f files) clear(key ident.Key) {
	f.removeCredential(key)
	_ = f.run.Remove(contract.ViewRequestName(key))
	parts := contract.SocketDirParts(key)
	_ = f.run.RemoveAll(path.Join(parts[:]...))
}

// leftovers names the servers that have files.
func (f files) leftovers() []ident.Key {
	var keys []ident.Key
	for _, dir := range []string{"credentials", "servers"} {
		_ = fs.WalkDir(f.run.FS(), dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return fs.SkipDir
			}
			key, ok := keyOf(name)
			if ok {
				keys = append(keys, key)
			}
			if ok && d.IsDir() {
				return fs.SkipDir // the member's from here
			}
			return nil
		})
	}
	return keys
}

// keyOf is the inverse of credentialName and contract.SocketDirParts.
func keyOf(name string) (ident.Key, bool) {
	dir, base := path.Split(path.Clean(name))
	if path.Clean(dir) == "credentials" {
		key, err := ident.ParseUnit(base[:max(0, len(base)-len(".env"))])
		return key, err == nil
	}
	if top, user := path.Split(path.Clean(dir)); path.Clean(top) == "servers" {
		if base == "_" {
			base = ""
		}
		key, err := ident.ParseKey(user, base)
		return key, err == nil
	}
	return ident.Key{}, false
}
