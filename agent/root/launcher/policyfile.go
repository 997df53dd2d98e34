package launcher

import (
	"fmt"
	"io"
	"os"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
)

// maxPolicy is far beyond any policy; it bounds what a strange file can do.
const maxPolicy = 1 << 20

// ReadPolicy reads launcher.toml, which must be root's and closed to the writing of all
// others: who can write it decides what root does.
func ReadPolicy(file string) (*policy.Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	if !nofollow.RootAlone(info) || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot trust the policy %s: others than root may write it\nhint: chown root %s; "+
			"chmod go-w %s", file, file, file)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPolicy))
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	return policy.Parse(file, data)
}
