package unit

import (
	"path"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// DiskUseInput is the input of the unit that measures a member's disk use. Every field is required.
type DiskUseInput struct {
	User   ident.User
	Policy *policy.Policy
	// UIDs and GIDs are the member's subordinate ids, as "first:count"; files in their containers' storage belong to
	// them. A member without any has no such files.
	UIDs, GIDs []string
}

// BuildDiskUse makes the unit. It runs as the member at idle priority, has no network and can write only the result's
// directory.
func BuildDiskUse(in DiskUseInput) transient.Spec {
	dir := contract.UserDir(in.User)
	return transient.Spec{Name: DiskUseUnit(in.User), Properties: append([]transient.Property{
		{Name: "Description", Value: "Measures what the files of " + in.User.String() + " take"},
		{Name: "Slice", Value: Slice},
		{Name: "User", Value: in.User.String()},
		{Name: "Type", Value: "oneshot"},
		{Name: "CollectMode", Value: "inactive-or-failed"}, // a failed unit must not block the next one
		{Name: "ExecStart", Value: []transient.Command{command(escape(in.args(dir))...)}},
		{Name: "WorkingDirectory", Value: dir},
		{Name: "Environment", Value: []string{"HOME=" + dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}},
		{Name: "SyslogIdentifier", Value: "gifford-usage"},
		// RuntimeMaxSec has no effect on this type (systemd.service(5)).
		{Name: "TimeoutStartUSec", Value: micros(in.Policy.Host.UsageTime)},
		{Name: "Nice", Value: int32(19)},
		{Name: "IOSchedulingClass", Value: int32(3)}, // idle
		{Name: "MemoryMax", Value: uint64(1 << 30)},
		{Name: "TasksMax", Value: uint64(64)},
		// Nothing here may set NoNewPrivileges, as seccomp filters do: newuidmap needs its own.
		{Name: "PrivateNetwork", Value: true},
		{Name: "PrivateTmp", Value: true},
		{Name: "ProtectSystem", Value: "strict"},
		{Name: "ReadWritePaths", Value: []string{dir}},
	}, logLimits()...)}
}

func (in DiskUseInput) args(dir string) []string {
	args := []string{contract.Helper, contract.ModeDiskUse, "--result", path.Join(dir, contract.DiskUseName),
		"--storage", dir, "--home", in.Policy.Host.HomeOf(in.User)}
	for _, r := range in.UIDs {
		args = append(args, "--uids", r)
	}
	for _, r := range in.GIDs {
		args = append(args, "--gids", r)
	}
	return args
}
