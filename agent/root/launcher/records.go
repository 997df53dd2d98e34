package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// container is one line of a server's record: the profile whose persistent container it is, the hash of what the
// container was made from, and the devices that are in it.
type container struct {
	profile, settings string
	devices           []string
}

// recordDevices begins the third word of a record's line, which is only there if there are devices.
const recordDevices = "devices="

// recordName is the record of one server's persistent containers below the state directory. Only root reads and
// writes it.
func recordName(key ident.Key) string {
	parts := contract.SocketDirParts(key)
	return path.Join("kept", parts[1], parts[2])
}

// imageName is the record of the image that a persistent container needs (agent/imagestore). One for each profile adds
// its name after a dot, which is in no server's name.
func imageName(key ident.Key) string {
	parts := contract.SocketDirParts(key)
	return path.Join("images", parts[1], parts[2])
}

func deviceNames(devices []contract.Device) (names []string) {
	for _, d := range devices {
		names = append(names, d.Name)
	}
	return names
}

// containers reads the record of a server; no record is no error.
func (f files) containers(key ident.Key) ([]container, error) {
	data, err := f.state.ReadFile(recordName(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []container
	for line := range strings.Lines(string(data)) {
		c, ok := parseContainer(line)
		if !ok {
			err = fmt.Errorf("line %.80q", line)
			break
		}
		all = append(all, c)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the persistent containers of server %s: %w", key, err)
	}
	return all, nil
}

func parseContainer(line string) (container, bool) {
	words := strings.Fields(line)
	var devices []string
	if len(words) == 3 && strings.HasPrefix(words[2], recordDevices) {
		devices = strings.Split(words[2][len(recordDevices):], ",")
		words = words[:2]
	}
	if len(words) != 2 {
		return container{}, false
	}
	return container{words[0], words[1], devices}, true
}

// String is the container's line of a record.
func (c container) String() string {
	line := c.profile + " " + c.settings
	if len(c.devices) > 0 {
		line += " " + recordDevices + strings.Join(c.devices, ",")
	}
	return line + "\n"
}

// noteContainer adds a profile's container to the record. One that stands there was made before, of what its line
// says.
func (f files) noteContainer(key ident.Key, c container) error {
	all, err := f.containers(key)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(k container) bool { return k.profile == c.profile }) {
		return nil
	}
	if err := ownDirectory(f.state, path.Dir(recordName(key)), private); err != nil {
		return err
	}
	text := ""
	for _, k := range append(all, c) {
		text += k.String()
	}
	return replace(f.state, recordName(key), text, 0o600)
}

// forgetContainers removes the records of a server whose persistent containers are gone.
func (f files) forgetContainers(key ident.Key) error {
	_ = f.state.Remove(imageName(key))
	dir, base := path.Split(imageName(key))
	entries, _ := fs.ReadDir(f.state.FS(), path.Clean(dir))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base+".") {
			_ = f.state.Remove(path.Join(dir, e.Name()))
		}
	}
	if err := f.state.Remove(recordName(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget the persistent containers of server %s: %w", key, err)
	}
	return nil
}

// recorded names the servers that have a record.
func (f files) recorded() []ident.Key {
	var keys []ident.Key
	_ = fs.WalkDir(f.state.FS(), "kept", func(name string, d fs.DirEntry, err error) error {
		parts := strings.Split(name, "/")
		if err != nil || d.IsDir() || len(parts) != 3 {
			return nil
		}
		server := parts[2]
		if server == "_" {
			server = ""
		}
		if key, err := ident.ParseKey(parts[1], server); err == nil {
			keys = append(keys, key)
		}
		return nil
	})
	return keys
}
