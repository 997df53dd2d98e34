package gpu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// StateFile is what gifford-gpus writes.
const StateFile = "/run/gifford-gpus/state.json"

const (
	maxState = 4 << 20 // a hundred devices with a hundred processes each are 1 MB
	stale    = time.Minute
)

// ReadState reads the file of gifford-gpus. No file is an empty State: there is no
// gifford-gpus. What an older file says of loads and processes is not told, since nobody
// knows whether it is still so.
func ReadState(file string) (State, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	} else if err != nil {
		return State{}, fmt.Errorf("cannot read what the GPUs do: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return State{}, fmt.Errorf("cannot read what the GPUs do: %w", err)
	}
	if len(data) > maxState {
		return State{}, fmt.Errorf("cannot read what the GPUs do: %s has more than %d bytes", file, maxState)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("cannot read what the GPUs do: %s: %w\nhint: systemctl restart gifford-gpus", file,
			err)
	}
	if time.Since(s.Measured) > stale {
		s.forget()
	}
	return s, nil
}

// forget keeps what does not change.
func (s *State) forget() {
	s.Measured = time.Time{}
	for i := range s.Devices {
		d := &s.Devices[i]
		d.Now, d.Hour, d.Busiest, d.Processes = Load{}, Load{}, Load{}, nil
	}
}

// Of returns what is known of a device: by the UUID where the specification has it as a
// name, then by the number of an instance, then by the device node.
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
