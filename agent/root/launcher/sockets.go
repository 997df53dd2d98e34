package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// The directory of a server's socket belongs to the member, who can leave anything in it: a tree without end, or a file
// system of their own, on which every system call may wait for ever. So each start gets a fresh one, and that of the
// run before is retired: renamed, whatever is in it. A few files, as a server leaves them, are removed here. All else
// is for gifford-sweep@USER.service, another process with limits of its own, for which nobody waits.

const (
	maxFiles  = 16               // that are removed here
	sweepTime = 20 * time.Second // a start waits for the removal of what is mounted over its directory
)

// vacate makes room for the directory of a server that starts. What is mounted over the old one is removed first.
func (l *Launcher) vacate(ctx context.Context, key ident.Key) error {
	err := l.files.retire(key)
	if errors.Is(err, unix.EBUSY) {
		if wait := l.sweep(ctx, key.User); wait != nil {
			ctx, cancel := context.WithTimeout(ctx, sweepTime)
			defer cancel()
			_ = wait(ctx) // whether it has helped shows now
		}
		err = l.files.retire(key)
	}
	switch full := contract.SocketDir(key); {
	case errors.Is(err, unix.EBUSY):
		return fail(launcherbus.Refused, "a file system of %s's own is mounted over %s", key.User, full).
			WithHint("fusermount3 -u %s", full)
	case errors.Is(err, fs.ErrExist):
		return fail(launcherbus.Refused, "%d directories of earlier servers of %s cannot be removed",
			contract.MaxRetired,
			key.User).WithHint("journalctl -u %s", unit.SweepUnit(key.User))
	case err != nil:
		return fmt.Errorf("cannot move the directory of the last socket: %w", err)
	}
	l.discard(ctx, key.User)
	return nil
}

// clear removes what a server has left. Its unit is gone, so no container runs. What cannot be removed now is removed
// before the next start, or is in nobody's way.
func (l *Launcher) clear(ctx context.Context, key ident.Key) {
	l.files.removeCredential(key)
	_ = l.files.run.Remove(contract.ViewRequestName(key))
	if err := l.files.retire(key); err != nil {
		l.sweep(ctx, key.User)
		return
	}
	l.discard(ctx, key.User)
}

// discard removes a member's retired directories, here or in the background.
func (l *Launcher) discard(ctx context.Context, user ident.User) {
	if !l.files.discard(user) {
		l.sweep(ctx, user)
	}
}

// sweep starts the unit that removes what is mounted below a member's directories, and the retired ones. It is nil if
// the unit cannot be started.
func (l *Launcher) sweep(ctx context.Context, user ident.User) systemd.Wait {
	wait, err := l.cfg.Manager.Start(ctx, unit.SweepUnit(user))
	if err != nil {
		l.cfg.Log.Warn("cannot remove what a member's servers have left", "event", "sweep-failed", "user",
			user.String(), "unit", unit.SweepUnit(user), "error", err)
		return nil
	}
	return wait
}

// Tidy clears away, in the background, what units have left that ended while there was no launcher. known is what Adopt
// has returned.
func (l *Launcher) Tidy(ctx context.Context, known []systemd.Status) {
	waits := map[string]bool{} // its start is queued
	for _, u := range known {
		waits[u.Name] = u.Queued
	}
	l.wg.Go(func() {
		for _, key := range l.files.leftovers() {
			if ctx.Err() == nil && !waits[key.Unit()] {
				l.tidy(ctx, key)
			}
		}
		for _, name := range l.files.names("servers") {
			if user, err := ident.ParseUser(name); err == nil && ctx.Err() == nil {
				unlock := l.users.lock(user)
				l.discard(ctx, user) // of those whose server runs
				unlock()
			}
		}
	})
}

func (l *Launcher) tidy(ctx context.Context, key ident.Key) {
	defer l.users.lock(key.User)()
	if l.server(key) == nil {
		l.clear(ctx, key)
	}
}

// retire moves the directory of a server's socket out of the way, whatever is in it. None is no error.
func (f files) retire(key ident.Key) error {
	parts := contract.SocketDirParts(key)
	dir, err := f.run.Open(path.Join(parts[0], parts[1]))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer dir.Close()
	at := int(dir.Fd())
	for n := range contract.MaxRetired {
		err = unix.Renameat2(at, parts[2], at, contract.RetiredName(n), unix.RENAME_NOREPLACE)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// discard removes a member's retired directories, and reports whether none is left. It enters no directory below them
// and no other file system.
func (f files) discard(user ident.User) bool {
	dir, err := f.run.Open(path.Join("servers", user.String()))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer dir.Close()
	for n := range contract.MaxRetired {
		if e := discardOne(dir, contract.RetiredName(n)); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err == nil
}

func discardOne(dir *os.File, name string) error {
	old, err := nofollow.Listed(dir, name)
	if err != nil {
		return err
	}
	defer old.Close()
	files, err := old.Readdirnames(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, file := range files {
		if err := unix.Unlinkat(int(old.Fd()), file, 0); err != nil {
			return err
		}
	}
	return unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
}

// prepareServer makes a fresh directory for the server's socket. It belongs to the member, and the hub's group may pass
// it.
func (f files) prepareServer(key ident.Key, a accounts.Account) error {
	parts := contract.SocketDirParts(key)
	if err := ownDirectory(f.run, path.Join(parts[0], parts[1]), passage); err != nil {
		return err
	}
	name := path.Join(parts[:]...)
	if err := f.run.Mkdir(name, private); err != nil {
		return fmt.Errorf("cannot make the directory of the socket: %w", err)
	}
	return hand(f.run, name, socketMode, a.UID, f.hubGID)
}
