package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
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
	if err := memberDirectory(f.state, path.Join("users", name), a); err != nil {
		return err
	}
	if err := ownDirectory(f.run, path.Join("users", name), passage); err != nil {
		return err
	}
	own := contract.Storage{Graph: contract.UserStorage(a.User), Run: contract.RunRoot(a.UID)}
	return replace(f.run, path.Join("users", name, contract.StorageConfName), string(own.Conf("gifford-launcher")),
		0o644)
}

// memberDirectory makes a directory that belongs to a member in a directory of root's. One that exists must be theirs,
// and nothing of theirs may be mounted there.
func memberDirectory(root *os.Root, name string, a accounts.Account) error {
	err := root.Mkdir(name, private)
	if err == nil {
		return hand(root, name, private, a.UID, a.GID)
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make a member's directory: %w", err)
	}
	owner, err := ownerOf(root, name)
	if errors.Is(err, mountinfo.ErrForeign) {
		full := path.Join(root.Name(), name)
		return fail(launcherbus.Refused, "a file system of %s's own is mounted at %s", a.User, full).
			WithHint("fusermount3 -u %s", full)
	} else if err != nil {
		return fmt.Errorf("cannot open a member's directory: %w", err)
	}
	if owner != a.UID {
		return fmt.Errorf("%s belongs to uid %d, not to %d: was the account made again? move the directory away", name,
			owner, a.UID)
	}
	return nil
}

// hand gives a directory that root has made just now to a member. The owner comes last: as long as the directory is
// root's, no capability is needed.
func hand(root *os.Root, name string, mode fs.FileMode, uid, gid uint32) error {
	dir, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("cannot open a member's directory: %w", err)
	}
	return errors.Join(dir.Chmod(mode), dir.Chown(int(uid), int(gid)), dir.Close())
}

// ownerOf returns the uid of a member's directory in one of root's.
func ownerOf(root *os.Root, name string) (uint32, error) {
	parent, err := root.Open(path.Dir(name))
	if err != nil {
		return nofollow.InvalidUID, err
	}
	defer parent.Close()
	dir, err := nofollow.Entry(parent, path.Base(name), true)
	if err != nil {
		return nofollow.InvalidUID, err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return nofollow.InvalidUID, err
	}
	return nofollow.Owner(info), nil
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

// leftovers names the servers that have files.
func (f files) leftovers() []ident.Key {
	var keys []ident.Key
	add := func(name string) {
		if key, ok := keyOf(name); ok {
			keys = append(keys, key)
		}
	}
	for _, name := range f.names("credentials") {
		add(path.Join("credentials", name))
	}
	for _, user := range f.names("servers") {
		for _, server := range f.names(path.Join("servers", user)) {
			add(path.Join("servers", user, server))
		}
	}
	return keys
}

// names lists one of root's directories below the first. What it names is the member's and is not entered.
func (f files) names(dir string) []string {
	d, err := f.run.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	slices.Sort(names)
	return names
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
