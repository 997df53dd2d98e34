package unit

import (
	"fmt"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// Explain describes the exit status of a failed ExecStartPre, ExecStart or ExecStartPost for people; "" when the status
// is not one of ours.
func Explain(p policy.Profile, status int32) string {
	switch status {
	case contract.ExitNoImage:
		return fmt.Sprintf("image %q is not on this host, and profile %q does not allow pulling it", p.Image, p.Name)
	case contract.ExitLoad:
		return fmt.Sprintf("image %q cannot be loaded from %s", p.Image, p.Archive)
	case contract.ExitPull:
		return fmt.Sprintf("image %q cannot be pulled", p.Image)
	case contract.ExitDirectory:
		return fmt.Sprintf("the notebook directory %s cannot be made", p.NotebookDir)
	case contract.ExitNetwork:
		return "the container got no network"
	case contract.ExitPodman:
		return "podman's state of this member is broken"
	}
	return ""
}
