package view

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNoIDMap says that the kernel or the file system cannot do it.
var errNoIDMap = errors.New("idmapped mounts are not possible here")

// kernel is the host's mounts.
type kernel struct{}

// attach puts the mount at target. Both directories are open: nobody can put another in their place.
func (kernel) attach(source, target *os.File, uids, gids IDMap) error {
	tree, err := cloneMapped(source, uids, gids)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", int(target.Fd()), "",
		unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// cloneMapped makes the mount, which is nowhere yet and goes when its descriptor is closed.
func cloneMapped(source *os.File, uids, gids IDMap) (int, error) {
	userns, err := userNamespace(uids, gids)
	if err != nil {
		return -1, err
	}
	defer userns.Close()
	tree, err := unix.OpenTree(int(source.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, fmt.Errorf("open_tree: %w", noIDMap(err))
	}
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		// No MOUNT_ATTR_NOEXEC: overlayfs would hand it on to the container's programs.
		Attr_set:  unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_IDMAP,
		Userns_fd: uint64(userns.Fd()),
	})
	if err != nil {
		_ = unix.Close(tree)
		return -1, fmt.Errorf("mount_setattr: %w", noIDMap(err))
	}
	return tree, nil
}

// noIDMap marks what mount_setattr(2) and open_tree(2) say where there are no idmapped
// mounts: an older kernel, or a file system without them.
func noIDMap(err error) error {
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: %w", errNoIDMap, err)
	}
	return err
}

// userNamespace makes a user namespace with the mappings. The kernel takes them from a
// process in it: this program once more, which is stopped before its first instruction
// and ended at once.
func userNamespace(uids, gids IDMap) (*os.File, error) {
	// The tracer is a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := os.StartProcess("/proc/self/exe", []string{"gifford-view"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: uids.sys(), GidMappings: gids.sys(),
		Ptrace: true, Pdeathsig: syscall.SIGKILL,
	}})
	if err != nil {
		return nil, fmt.Errorf("cannot make a user namespace: %w", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	_ = p.Kill()
	_, waitErr := p.Wait()
	if err == nil && waitErr != nil {
		_ = f.Close()
		err = waitErr
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a user namespace: %w", err)
	}
	return f, nil
}

func (m IDMap) sys() []syscall.SysProcIDMap {
	var all []syscall.SysProcIDMap
	for _, r := range m {
		all = append(all, syscall.SysProcIDMap{ContainerID: int(r.Inside), HostID: int(r.Outside), Size: int(r.Count)})
	}
	return all
}

// detach removes all mounts from a directory, whoever still uses them: a running container has its own hold on its
// layers.
func (kernel) detach(target string) error {
	for {
		err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil // it is no mount point (any more)
		case err != nil:
			return fmt.Errorf("cannot unmount %s: %w", target, err)
		}
	}
}
