package systemd

import (
	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/root/transient"
)

// property is a property of a new unit, D-Bus type (sv); auxiliary is another unit that StartTransientUnit could make,
// of which there are none.
type (
	property struct {
		Name  string
		Value dbus.Variant
	}
	auxiliary struct {
		Name       string
		Properties []property
	}
)

// execCommand, credential, environmentFile and statuses are the D-Bus forms of the unit package's types.
type (
	execCommand struct {
		Path          string
		Args          []string
		IgnoreFailure bool
	}
	credential      struct{ Name, Path string }
	environmentFile struct {
		Path     string
		Optional bool
	}
	statuses struct{ Codes, Signals []int32 }
)

// wireProperties turns our types into D-Bus values.
func wireProperties(props []transient.Property) []property {
	out := make([]property, len(props))
	for i, p := range props {
		out[i] = property{p.Name, dbus.MakeVariant(value(p.Value))}
	}
	return out
}

func value(v any) any {
	switch v := v.(type) {
	case []transient.Command:
		var all []execCommand
		for _, c := range v {
			all = append(all, execCommand(c))
		}
		return all
	case []transient.Credential:
		var all []credential
		for _, c := range v {
			all = append(all, credential(c))
		}
		return all
	case []transient.EnvironmentFile:
		var all []environmentFile
		for _, f := range v {
			all = append(all, environmentFile(f))
		}
		return all
	case transient.ExitStatuses:
		return statuses(v)
	default:
		return v
	}
}
