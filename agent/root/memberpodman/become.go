package memberpodman

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
)

// Become makes this process the member's, for good: all ids of all threads, without root's groups. What the member says
// after that is read with their rights. Other processes of theirs cannot trace this one or take its descriptors, which
// would get them the caller's terminal: the kernel clears that right with the ids (prctl(2), PR_SET_DUMPABLE). So
// nothing may be executed after it.
func Become(uid, gid uint32) error {
	if uid == 0 || gid == 0 || uid == nofollow.InvalidUID || gid == nofollow.InvalidGID {
		return fmt.Errorf("uid %d and gid %d are no member's", uid, gid)
	}
	for _, step := range []func() error{
		func() error { return syscall.Setgroups([]int{int(gid)}) },
		func() error { return syscall.Setresgid(int(gid), int(gid), int(gid)) },
		func() error { return syscall.Setresuid(int(uid), int(uid), int(uid)) },
		func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("cannot become uid %d: %w", uid, err)
		}
	}
	if syscall.Setresuid(0, 0, 0) == nil {
		return errors.New("root's rights could be taken back")
	}
	return nil
}
