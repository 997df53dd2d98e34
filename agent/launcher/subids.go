package launcher

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// ledger is the launcher's own record, in StateDir, of every range it ever gave, in the
// format of subuid(5). It outlives accounts and the package, so that no range is used
// again for somebody else while files of its former owner may be left.
const ledger = "subids"

// idRange is a line of subuid(5).
type idRange struct {
	owner        string // a name or a uid in digits
	start, count uint64
}

func (r idRange) line() string { return fmt.Sprintf("%s:%d:%d\n", r.owner, r.start, r.count) }

// ensureSubIDs gives an account subordinate ids where it has none, once and for all.
func (l *Launcher) ensureSubIDs(a accounts.Account, rule policy.SubIDs) error {
	l.subIDs.Lock()
	defer l.subIDs.Unlock()
	given := path.Join(l.cfg.StateDir, ledger)
	files := []string{path.Join(l.cfg.Etc, "subuid"), path.Join(l.cfg.Etc, "subgid")}
	var all []idRange
	var lacking []string
	for _, file := range files {
		ranges, err := readRanges(file)
		if err != nil {
			return err
		}
		if !owns(ranges, a) {
			lacking = append(lacking, file)
		}
		all = append(all, ranges...)
	}
	if len(lacking) == 0 {
		return nil
	}
	former, err := readRanges(given)
	if err != nil {
		return err
	}
	own, ok := find(former, a.User.String())
	if !ok {
		if own, err = nextRange(append(all, former...), a, rule); err != nil {
			return err
		}
		if err := appendLine(given, own.line()); err != nil {
			return err
		}
	}
	for _, file := range lacking {
		if err := addToFile(file, own.line()); err != nil {
			return err
		}
	}
	l.cfg.Log.Info("gave subordinate ids", "event", "subids-given", "user", a.User.String(), "start", own.start, "count", own.count)
	return nil
}

// readRanges reads a file of subuid(5); a missing one is empty. A line that it cannot read
// is an error: what is not understood might be somebody's range.
func readRanges(file string) ([]idRange, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var all []idRange
	scanner := bufio.NewScanner(f)
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r, err := parseRange(line)
		if err != nil {
			return nil, refuse(launcherbus.NoSubIDs, "%s:%d: %v", file, n, err)
		}
		all = append(all, r)
	}
	return all, scanner.Err()
}

func parseRange(line string) (idRange, error) {
	f := strings.Split(line, ":")
	if len(f) != 3 || f[0] == "" {
		return idRange{}, fmt.Errorf("cannot read %q: want NAME:FIRST:COUNT", line)
	}
	start, err1 := strconv.ParseUint(f[1], 10, 32)
	count, err2 := strconv.ParseUint(f[2], 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return idRange{}, fmt.Errorf("cannot read %q: %w", line, err)
	}
	return idRange{f[0], start, count}, nil
}

// minCount is what images need: ids 0 to 65535.
const minCount = 1 << 16

// owns tells whether an account has a range that is large enough.
func owns(ranges []idRange, a accounts.Account) bool {
	for _, r := range ranges {
		if (r.owner == a.User.String() || r.owner == strconv.FormatUint(uint64(a.UID), 10)) && r.count >= minCount {
			return true
		}
	}
	return false
}

func find(ranges []idRange, owner string) (idRange, bool) {
	for _, r := range ranges {
		if r.owner == owner {
			return r, true
		}
	}
	return idRange{}, false
}

// maxID is the last id that a range may hold: 2^32-1 and 2^32-2 mean other things to the
// kernel, and 2^31 upwards to much software.
const maxID = 1<<31 - 1

// nextRange gives a range above all that were ever given.
func nextRange(taken []idRange, a accounts.Account, rule policy.SubIDs) (idRange, error) {
	next := uint64(rule.First)
	for _, r := range taken {
		next = max(next, r.start+r.count)
	}
	r := idRange{a.User.String(), next, uint64(rule.Count)}
	if r.start+r.count > maxID {
		return r, refuse(launcherbus.NoSubIDs, "user %q has no subordinate ids, and none are left to give\nhint: man 5 subuid", a.User)
	}
	return r, nil
}

// appendLine adds a line to the ledger and waits until it is on disk.
func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Sync(), f.Close())
}

// addToFile adds a line to subuid or subgid as shadow-utils' programs do: under their
// lock, into a copy that then takes the file's place.
func addToFile(file, line string) error {
	unlock, err := lockShadow(file)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mode := os.FileMode(0o644)
	if st, err := os.Stat(file); err == nil {
		mode = st.Mode().Perm()
	}
	text := string(old)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return replaceFile(file, text+line, mode)
}

// lockBound is how long another program may hold the lock.
const lockBound = 15 * time.Second

// lockShadow takes the lock of a file as shadow-utils does (lib/commonio.c): a link of
// the name FILE.lock to a file that holds the owner's process id.
func lockShadow(file string) (func(), error) {
	pid := strconv.Itoa(os.Getpid())
	own, lock := file+"."+pid, file+".lock"
	if err := replaceFile(own, pid, 0o600); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(own) }()
	for end := time.Now().Add(lockBound); ; time.Sleep(50 * time.Millisecond) {
		err := os.Link(own, lock)
		if err == nil {
			return func() { _ = os.Remove(lock) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if stale(lock) {
			_ = os.Remove(lock)
			continue
		}
		if time.Now().After(end) {
			return nil, refuse(launcherbus.NoSubIDs, "cannot give subordinate ids: %s is held by another program\nhint: is a useradd or usermod running?", lock)
		}
	}
}

// stale tells whether a lock's owner has ended.
func stale(lock string) bool {
	text, err := os.ReadFile(lock)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.Trim(string(text), "\x00\n "))
	return err == nil && pid > 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
