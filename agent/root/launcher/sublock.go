package launcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockTime = 15 * time.Second      // shadow-utils' own limit (lckpwdf(3))
	lockStep = 50 * time.Millisecond // these locks can only be tried
)

// lock takes the locks by which useradd, usermod and their like keep each other out of
// /etc/subuid and /etc/subgid (shadow-utils, lib/commonio.c): lckpwdf(3)'s record lock on
// .pwd.lock, then a file NAME.lock with the holder's process id for each file.
func (s subIDs) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	pwd, err := s.etc.OpenFile(".pwd.lock", os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	held := []string{}
	unlock = func() {
		for _, name := range held {
			_ = s.etc.Remove(name)
		}
		_ = pwd.Close() // and with it the record lock
	}
	err = retry(ctx, func() error {
		return unix.FcntlFlock(pwd.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	})
	for _, name := range []string{"subuid.lock", "subgid.lock"} {
		if err == nil {
			if err = retry(ctx, func() error { return s.lockFile(name) }); err == nil {
				held = append(held, name)
			}
		}
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("/etc/subuid and /etc/subgid are locked: %w", err)
	}
	return unlock, nil
}

// retry tries until it works or the time is over.
func retry(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lockStep):
		}
	}
}

// lockFile makes NAME.lock as a second name of a file with our process id. It removes a lock whose holder is dead.
func (s subIDs) lockFile(name string) error {
	pid := strconv.Itoa(os.Getpid())
	temp := name + "." + pid
	if err := s.etc.WriteFile(temp, []byte(pid+"\x00"), 0o600); err != nil {
		return err
	}
	defer func() { _ = s.etc.Remove(temp) }()
	err := s.etc.Link(temp, name)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if holder, dead := s.holder(name); dead {
		_ = s.etc.Remove(name)
		return fmt.Errorf("%s was left by process %d, which is gone", name, holder)
	} else if holder != 0 {
		return fmt.Errorf("%s is held by process %d", name, holder)
	}
	return err
}

// holder reads who holds a lock and reports whether that process is gone for certain.
func (s subIDs) holder(name string) (pid int, dead bool) {
	data, err := s.etc.ReadFile(name)
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(string(bytes.Trim(data, "\x00\n ")))
	if err != nil || pid <= 0 {
		return 0, false
	}
	return pid, errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
