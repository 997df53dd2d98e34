package gpu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// StateFile is the file that gifford-gpus writes.
const StateFile = "/run/gifford-gpus/state.json"

const (
	maxState = 4 << 20 // a hundred devices with a hundred processes each are 1 MB
	stale    = time.Minute
)

// ReadState reads the file of gifford-gpus. A missing file is an empty State: the service does not run here. ReadState
// drops the loads and processes of an outdated file, since they may have changed.
//
// Root calls it, and the account gifford-gpus can put anything in the file's place. So the file must be a regular one
// that belongs to root or to the owner of its directory, which systemd makes for that account. ReadState follows no
// link and never blocks.
func ReadState(file string) (State, error) {
	data, err := readState(file)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	} else if err != nil {
		return State{}, fmt.Errorf("cannot read the state of the GPUs: %w", err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, hint.With(fmt.Errorf("cannot read the state of the GPUs: %s: %w", file, err), restart)
	}
	if time.Since(s.Measured) > stale {
		s.forget()
	}
	return s, nil
}

// restart is the remedy for a bad file.
const restart = "systemctl restart gifford-gpus"

func readState(file string) ([]byte, error) {
	directory, err := os.Lstat(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if owner := ownerOf(info); !info.Mode().IsRegular() || owner != 0 && owner != ownerOf(directory) {
		return nil, hint.With(fmt.Errorf("%s is not a regular file of gifford-gpus", file), restart)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err == nil && len(data) > maxState {
		err = fmt.Errorf("%s has more than %d bytes", file, maxState)
	}
	return data, err
}

// ownerOf returns the uid of a file, or the invalid uid if it is unknown.
func ownerOf(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 1<<32 - 1
}

// forget drops what changes while a server runs.
func (s *State) forget() {
	s.Measured = time.Time{}
	for i := range s.Devices {
		d := &s.Devices[i]
		d.Now, d.Hour, d.Busiest, d.Processes = Load{}, Load{}, Load{}, nil
	}
}

// Of returns the facts of a device. It searches by the UUID if the specification uses it as a name, then by the number
// of an instance, then by the device node.
func (s State) Of(d Device) (Facts, bool) {
	names := []string{}
	for _, name := range append([]string{d.Name}, d.Aliases...) {
		_, short, _ := strings.Cut(name, "=")
		names = append(names, short)
	}
	own, _ := parts(d)
	for _, is := range []func(Facts) bool{
		func(f Facts) bool { return f.UUID != "" && slices.Contains(names, f.UUID) },
		func(f Facts) bool {
			return f.Part != "" && slices.Contains(names, f.Part) && slices.Contains(d.Nodes, f.Node)
		},
		func(f Facts) bool { return f.Part == "" && len(own) == 0 && slices.Contains(d.Nodes, f.Node) },
	} {
		if i := slices.IndexFunc(s.Devices, is); i >= 0 {
			return s.Devices[i], true
		}
	}
	return Facts{}, false
}
