package contract

import (
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Names of the unit's variables that ReadMetadata reads back. None is secret.
const (
	envProfile   = "GIFFORD_PROFILE"
	envTokenHash = "GIFFORD_TOKEN_SHA256"
	envUID       = "GIFFORD_UID"
	EnvContainer = "GIFFORD_CONTAINER"
	envDevices   = "GIFFORD_DEVICES"
	envNodes     = "GIFFORD_DEVICE_NODES"
)

// Metadata is what a unit's environment says of its server. It is the launcher's only record: a launcher that was
// started again knows its servers from it.
type Metadata struct {
	Key       ident.Key // is part of the unit's name
	Profile   string
	TokenHash string // SHA-256 of the server's token, in hexadecimal digits; "" when the hub sent none
	UID       uint32
	Container string   // its name in the member's store
	Devices   []Device // none: no device variables
}

// Device is a device of a CDI specification that a server holds.
type Device struct {
	Name  string   // qualified CDI name
	Nodes []string // its device nodes on the host, by which it is known when it gets another name
}

// Environment returns the unit's variables.
func (m Metadata) Environment() []string {
	env := []string{
		envUID + "=" + strconv.FormatUint(uint64(m.UID), 10),
		envProfile + "=" + m.Profile,
		EnvContainer + "=" + m.Container,
		envTokenHash + "=" + m.TokenHash,
	}
	if len(m.Devices) == 0 {
		return env
	}
	var names, nodes []string
	for _, d := range m.Devices {
		names = append(names, d.Name)
		nodes = append(nodes, strings.Join(plainPaths(d.Nodes), " "))
	}
	return append(env, envDevices+"="+strings.Join(names, ","), envNodes+"="+strings.Join(nodes, ","))
}

// ReadMetadata is the inverse of Environment. It is false for a unit that the launcher has not made, whatever its
// name is.
func ReadMetadata(name string, environment []string) (Metadata, bool) {
	key, err := ident.ParseUnit(name)
	if err != nil {
		return Metadata{}, false
	}
	values := map[string]string{}
	for _, e := range environment {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	uid, err := strconv.ParseUint(values[envUID], 10, 32)
	if err != nil || values[envProfile] == "" {
		return Metadata{}, false
	}
	return Metadata{key, values[envProfile], values[envTokenHash], uint32(uid), values[EnvContainer],
		readDevices(values[envDevices], values[envNodes])}, true
}

// plainPaths leaves out what would be read back as something else. A device can do without its nodes: it is known by
// them only if its name is gone.
func plainPaths(nodes []string) (plain []string) {
	for _, n := range nodes {
		if n != "" && !strings.ContainsAny(n, " ,") {
			plain = append(plain, n)
		}
	}
	return plain
}

func readDevices(names, nodes string) (devices []Device) {
	if names == "" {
		return nil
	}
	each := strings.Split(nodes, ",")
	for i, name := range strings.Split(names, ",") {
		d := Device{Name: name}
		if i < len(each) && each[i] != "" {
			d.Nodes = strings.Split(each[i], " ")
		}
		devices = append(devices, d)
	}
	return devices
}
