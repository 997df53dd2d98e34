package launcher

import (
	"fmt"
	"io"
	"os"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
)

// maxPolicy is far beyond any policy, in bytes; it bounds what a strange file can do.
const maxPolicy = 1 << 20

// ReadPolicy reads launcher.toml, which only root may be able to write: who can write it decides what root does. A file
// of more than a MiB is refused.
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
	return readPolicy(file, f)
}

func readPolicy(file string, from io.Reader) (*policy.Policy, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxPolicy+1))
	if err == nil && len(data) > maxPolicy {
		err = fmt.Errorf("%s has more than %d bytes", file, maxPolicy)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	return policy.Parse(file, data)
}
