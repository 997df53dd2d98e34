package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// The values of --inside. A process in a new user namespace waits until its ids are mapped and then executes itself
// again. That makes it root of that namespace, which holds the member and their sub-ids and nothing more. Podman's own
// namespace stays untouched: its process would end with this unit while a server needs it.
const (
	insideWait = "wait"
	insideWalk = "walk"
)

// goAhead is what the waiting process reads. The end of the file means that there is no map.
const goAhead = "\n"

// mapped runs the same command in a user namespace in which the member is root, with their sub-ids.
func (a diskUseArgs) mapped(ctx context.Context, args []string) error {
	ready, release, err := os.Pipe()
	if err != nil {
		return err
	}
	defer release.Close()
	again := slices.Concat([]string{contract.ModeDiskUse, "--inside", insideWait}, args)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", again...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stderr, os.Stderr, []*os.File{ready}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	_ = ready.Close()
	if err != nil {
		return fmt.Errorf("cannot make a user namespace: %w", err)
	}
	err = mapIDs(ctx, "newuidmap", cmd.Process.Pid, os.Getuid(), a.uids)
	if err == nil {
		err = mapIDs(ctx, "newgidmap", cmd.Process.Pid, os.Getgid(), a.gids)
	}
	if err == nil {
		_, err = release.WriteString(goAhead)
	}
	_ = release.Close()
	return errors.Join(err, cmd.Wait())
}

// mapIDs makes the member root of the namespace and maps their sub-ids to its ids from 1.
func mapIDs(ctx context.Context, program string, pid, own int, list ranges) error {
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(own), "1"}
	inside := uint64(1)
	for _, r := range list {
		first, count, _ := strings.Cut(r, ":")
		n, err := strconv.ParseUint(count, 10, 32)
		if err != nil {
			return err
		}
		args = append(args, strconv.FormatUint(inside, 10), first, count)
		inside += n
	}
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return nil
}

// waitForMap is the process in the new namespace.
func waitForMap(args []string) error {
	var word [len(goAhead)]byte
	pipe := os.NewFile(3, "pipe")
	if n, err := pipe.Read(word[:]); n != len(goAhead) {
		return fmt.Errorf("no ids were mapped: %w", err)
	}
	_ = pipe.Close()
	again := slices.Concat([]string{"/proc/self/exe", contract.ModeDiskUse}, args)
	i := slices.Index(again, insideWait)
	if i < 0 {
		return errors.New("the arguments have changed")
	}
	again[i] = insideWalk
	return syscall.Exec(again[0], again, os.Environ())
}
