package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// maxFile bounds a settings file, so that a wrong path does not fill the memory.
const maxFile = 1 << 20

// Source says where the settings are.
type Source struct {
	// File is hub.toml's path. Required.
	File string
	// DropIns is the directory whose *.toml files follow in the order of their names. A missing directory counts as
	// empty.
	DropIns string
	// Credentials is systemd's $CREDENTIALS_DIRECTORY; "" outside the hub's unit.
	Credentials string
	// Secrets is the directory from which systemd makes the credentials. It is read when
	// Credentials is "", for commands that run as root.
	Secrets string
	// Lookup is the environment. Required.
	Lookup func(string) (string, bool)
}

// Host returns the Source of an installed hub; file "" means DefaultFile. With another file,
// the drop-ins are those of hub.d beside it.
func Host(file string, lookup func(string) (string, bool)) Source {
	s := Source{File: DefaultFile, DropIns: DefaultDropIns, Secrets: DefaultSecrets, Lookup: lookup}
	if file != "" {
		dir := filepath.Dir(file)
		s.File, s.DropIns, s.Secrets = file, filepath.Join(dir, "hub.d"), filepath.Join(dir, "secrets")
	}
	s.Credentials, _ = lookup("CREDENTIALS_DIRECTORY")
	return s
}

// Load reads and checks all settings. An error is settings.Problems, unless a file or directory could
// not be read at all.
func Load(src Source) (*Config, error) {
	c, err := defaults()
	if err != nil {
		return nil, err
	}
	files, err := src.files()
	if err != nil {
		return nil, err
	}
	var problems settings.Problems
	for _, file := range files {
		data, err := readFile(file)
		if err != nil {
			return nil, err
		}
		problems = append(problems, apply(c, file, data)...)
	}
	more, err := c.fillIn(src)
	if err != nil {
		return nil, err
	}
	if problems = append(problems, more...); len(problems) == 0 {
		problems = c.contradictions(src.File)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// files lists hub.toml and the drop-ins. A missing hub.toml is an error of reading it.
func (src Source) files() ([]string, error) {
	files := []string{src.File}
	entries, err := os.ReadDir(src.DropIns)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unreadable(src.DropIns, err)
	}
	for _, e := range entries { // ReadDir sorts by name
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(src.DropIns, e.Name()))
		}
	}
	return files, nil
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(file, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("cannot read %s: it is larger than 1 MiB", file)
	}
	return data, nil
}

// Unreadable is the error for a file of the settings that cannot be read.
type Unreadable struct {
	File string
	Err  error // from the operating system
}

func (e *Unreadable) Error() string {
	var path *fs.PathError
	if errors.As(e.Err, &path) {
		return fmt.Sprintf("cannot read %s: %v", e.File, path.Err)
	}
	return fmt.Sprintf("cannot read %s: %v", e.File, e.Err)
}

// Unwrap returns the operating system's error.
func (e *Unreadable) Unwrap() error { return e.Err }

// NextStep returns the remedy, "" when there is none.
func (e *Unreadable) NextStep() string {
	switch {
	case errors.Is(e.Err, fs.ErrPermission):
		return "settings are for root and the group gifford-hub: run this with sudo"
	case errors.Is(e.Err, fs.ErrNotExist):
		return "the package contains a commented one: /usr/share/doc/gifford-hub/hub.toml"
	}
	return ""
}

func unreadable(file string, err error) error { return &Unreadable{file, err} }

// fillIn adds what the TOML files do not set: secrets, the old env file, and what follows from systemd's variables and
// the callback.
func (c *Config) fillIn(src Source) (settings.Problems, error) {
	variables, origin, problems, err := src.oldVariables()
	if err != nil {
		return nil, err
	}
	for key, name := range map[string]string{"login.client_id": envClientID, "login.callback_url": envCallbackURL} {
		if p, bad := c.fromVariable(key, name, variables, origin); bad {
			problems = append(problems, p)
		}
	}
	slices.SortFunc(problems, func(a, b settings.Problem) int { return a.Line - b.Line })
	if err := c.secret(src, variables, origin); err != nil {
		return nil, err
	}
	if err := c.serviceTokens(src); err != nil {
		return nil, err
	}
	if dir, ok := src.Lookup("STATE_DIRECTORY"); ok && c.State.Directory == "" {
		c.State.Directory = dir
		c.origins["state.directory"] = Origin{File: "$STATE_DIRECTORY"}
	}
	if c.HTTP.PublicURL == "" {
		c.HTTP.PublicURL = c.publicURL()
	} else {
		c.HTTP.PublicURL = strings.TrimSuffix(c.HTTP.PublicURL, "/") + "/"
	}
	return problems, nil
}

// fromVariable fills a setting in that no TOML file sets.
func (c *Config) fromVariable(key, name string, variables map[string]string,
	origin map[string]string) (settings.Problem, bool) {
	value, ok := variables[name]
	if _, set := c.origins[key]; set || !ok {
		return settings.Problem{}, false
	}
	all := Settings()
	s := all[slices.IndexFunc(all, func(s Setting) bool { return s.Key == key })]
	if err := s.Read(c, settings.Entry{}, value); err != nil {
		return settings.Problem{File: origin[name], Key: name, Text: settings.Expected(s.Type, value, err)}, true
	}
	c.origins[key] = Origin{File: origin[name]}
	return settings.Problem{}, false
}
