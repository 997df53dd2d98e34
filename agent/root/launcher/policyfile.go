package launcher

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
)

// maxPolicy is far beyond any policy, in bytes; it bounds what a strange file can do.
const maxPolicy = 1 << 20

// settled is how long a file must have been as it is before what was read of it is used again: two changes within one
// tick of the kernel's clock leave the same times.
const settled = 2 * time.Second

// PolicyFile is launcher.toml. It is parsed again only when it is another file or has changed. Make it with
// NewPolicyFile.
type PolicyFile struct {
	name string
	now  func() time.Time

	mu     sync.Mutex // guards the rest
	of     identity
	policy *policy.Policy // nil: nothing is held
}

// identity says which file it is and in which state, for a file that only root can write.
type identity struct {
	dev, inode      uint64
	size            int64
	changed, edited unix.Timespec // ctime, which nobody can set, and mtime
}

// NewPolicyFile returns the policy in the file of that name.
func NewPolicyFile(name string) *PolicyFile { return &PolicyFile{name: name, now: time.Now} }

// Read returns the policy, which nobody may change. Only root may be able to write the file: who can write it decides
// what root does. A file of more than a MiB is refused.
func (p *PolicyFile) Read() (*policy.Policy, error) {
	f, err := os.Open(p.name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	if !nofollow.RootAlone(info) || !info.Mode().IsRegular() {
		return nil, hint.Withf(fmt.Errorf("cannot trust the policy %s: others than root may write it", p.name),
			"chown root %s; chmod go-w %s", p.name, p.name)
	}
	state := identityOf(info)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.policy != nil && p.of == state {
		return p.policy, nil
	}
	p.policy = nil
	rules, err := readPolicy(p.name, f)
	if err == nil && p.now().Sub(time.Unix(state.changed.Unix())) > settled {
		p.of, p.policy = state, rules
	}
	return rules, err
}

func identityOf(info os.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{st.Dev, st.Ino, st.Size, unix.Timespec(st.Ctim), unix.Timespec(st.Mtim)}
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
