package unit

import (
	"time"

	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// resetTime is for the removal of a large container from a slow disk.
const resetTime = 5 * time.Minute

// Reset makes the unit that removes, as the member, the persistent containers that a server has for the given profiles.
// in.Profile does not count.
func Reset(in Input, profiles []string) transient.Spec {
	args := []string{contract.Helper, contract.ModeRemove, "--"}
	for _, p := range profiles {
		args = append(args, contract.PersistentName(in.Key, p))
	}
	return transient.Spec{Name: ResetUnit(in.Key), Properties: append([]transient.Property{
		{Name: "Description", Value: "Reset of the Jupyter server of " + in.Key.String()},
		{Name: "Slice", Value: Slice},
		{Name: "User", Value: in.Key.User.String()},
		{Name: "Type", Value: "oneshot"},
		{Name: "ExecStart", Value: []transient.Command{command(args...)}},
		// No metadata: only a server's unit says that it is the launcher's.
		{Name: "Environment", Value: in.podmanEnvironment(contract.UserStorageConf(in.Key.User))},
		{Name: "WorkingDirectory", Value: contract.UserDir(in.Key.User)},
		{Name: "UMask", Value: in.Policy.Host.UMask},
		{Name: "SyslogIdentifier", Value: "jupyter-" + in.Key.User.String()},
		{Name: "TimeoutStartUSec", Value: micros(resetTime)},
		{Name: "CollectMode", Value: "inactive-or-failed"},
	}, logLimits()...)}
}
