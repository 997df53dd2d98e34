package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// history is what the store itself does not record. Its file is beside the store.
type history struct {
	Names  map[string]*nameHistory `json:"names"`
	Pulled map[string]time.Time    `json:"pulled"` // when the store got an image, by ID
}

// nameHistory is what one name had before.
type nameHistory struct {
	Former  []imagekeeper.Former `json:"former,omitempty"` // the newest first
	Held    bool                 `json:"held,omitempty"`   // a rollback was made: refreshing leaves it alone
	Archive *archiveStamp        `json:"archive,omitempty"`
}

// archiveStamp reports whether an archive is the one that was loaded.
type archiveStamp struct {
	Path    string    `json:"path"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime"`
}

func (h *history) of(name string) *nameHistory {
	if h.Names[name] == nil {
		h.Names[name] = &nameHistory{}
	}
	return h.Names[name]
}

// moved notes that a name went to another image.
func (h *history) moved(name string, former imagekeeper.Former) {
	n := h.of(name)
	n.forget(former.ID)
	n.Former = append([]imagekeeper.Former{former}, n.Former...)
}

// neverNamed reports whether an image has no name, hidden ones included, and never had one.
func (h *history) neverNamed(s summary) bool {
	_, named := h.Pulled[s.id]
	return len(s.names) == 0 && !named && len(h.formerOf(s.id)) == 0
}

// formerOf returns the names that an image had, sorted.
func (h *history) formerOf(id string) []string {
	names := []string{}
	for name, n := range h.Names {
		if n.had(id) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// had reports whether an image is a former one of the name.
func (n *nameHistory) had(id string) bool {
	return slices.ContainsFunc(n.Former, func(f imagekeeper.Former) bool { return f.ID == id })
}

func (n *nameHistory) forget(id string) {
	n.Former = slices.DeleteFunc(n.Former, func(f imagekeeper.Former) bool { return f.ID == id })
}

// readHistory reads the file; none is an empty history.
func readHistory(stateDir string) (*history, error) {
	h := &history{Names: map[string]*nameHistory{}, Pulled: map[string]time.Time{}}
	data, err := os.ReadFile(historyFile(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot read the history of images: %w", err)
	}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, hint.With(fmt.Errorf("cannot read the history of images: %s: %w", historyFile(stateDir), err),
			"move the file away; former images are then forgotten")
	}
	if h.Names == nil {
		h.Names = map[string]*nameHistory{}
	}
	if h.Pulled == nil {
		h.Pulled = map[string]time.Time{}
	}
	return h, nil
}

// changeHistory reads the history, changes it and writes it, while nobody else does.
func (k *Keeper) changeHistory(change func(*history)) error {
	k.records.Lock()
	defer k.records.Unlock()
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return err
	}
	change(h)
	return h.write(k.cfg.StateDir)
}

// write replaces the file atomically.
func (h *history) write(stateDir string) error {
	data, err := json.MarshalIndent(h, "", " ")
	if err != nil {
		return err
	}
	name := historyFile(stateDir)
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return fmt.Errorf("cannot write the history of images: %w", err)
	}
	return os.Rename(name+".new", name)
}

func historyFile(stateDir string) string { return filepath.Join(stateDir, "history.json") }
