package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
)

// diskSpace measures the file systems that the settings name.
func diskSpace(_ context.Context, r *run) []finding {
	if r.settings == nil {
		return unknown("gifford-hub config validate", "needs settings that can be used")
	}
	var found []finding
	for _, path := range r.settings.Disk.Paths {
		free, total, err := r.Host.Free(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			found = append(found, unknown("df "+path, "%v", err)...)
		case disk.Threshold(r.settings.Disk.WarnFree).Low(free, total):
			found = append(found, warn(fmt.Sprintf("gifford-hub disk; df -h %s", path), "only %s of %s are free at %s",
				disk.Size(free), disk.Size(total), path)...)
		default:
			found = append(found, ok("%s of %s are free at %s", disk.Size(free), disk.Size(total), path)...)
		}
	}
	return found
}
