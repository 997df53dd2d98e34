package launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// subIDs assigns accounts their subordinate ids. The ledger holds every range ever seen in the files or given, so that
// no range is given a second time: files of its first owner may still exist.
type subIDs struct {
	etc   *os.Root // subuid, subgid
	state *os.Root // the ledger
}

const ledgerName = "subids"

const ledgerHead = "# every range of subordinate ids ever seen or given by gifford-launcher; none is given again\n"

// idRange is a line of subuid(5): who has which ids.
type idRange struct {
	owner        string // name or uid
	start, count uint64
}

func (r idRange) String() string { return fmt.Sprintf("%s:%d:%d", r.owner, r.start, r.count) }

func (r idRange) end() uint64 { return r.start + r.count }

func (r idRange) overlaps(o idRange) bool { return r.start < o.end() && o.start < r.end() }

func (r idRange) of(a accounts.Account) bool {
	return r.owner == a.User.String() || r.owner == strconv.FormatUint(uint64(a.UID), 10)
}

// parseRanges skips lines that are no range, as newuidmap(1) does.
func parseRanges(data []byte) []idRange {
	var ranges []idRange
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] == "" || f[0][0] == '#' {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && count > 0 {
			ranges = append(ranges, idRange{f[0], start, count})
		}
	}
	return ranges
}

// free returns the first range of that size that overlaps none of those seen.
func free(seen []idRange, rules policy.SubIDs) (idRange, bool) {
	r := idRange{start: uint64(rules.First), count: uint64(rules.Count)}
	seen = slices.SortedFunc(slices.Values(seen), func(a, b idRange) int { return cmp.Compare(a.start, b.start) })
	for _, s := range seen {
		if s.overlaps(r) {
			r.start = s.end()
		}
	}
	return r, r.end() <= 1<<32-2 // the last two ids are invalid values
}

// ensure leaves the ranges that the account has, and assigns one in each file where it has none.
func (s subIDs) ensure(ctx context.Context, a accounts.Account, rules policy.SubIDs) error {
	now, err := s.read()
	if err != nil {
		return err
	}
	if err := now.foreign(a); err != nil {
		return err
	}
	if len(now.missing(a)) == 0 {
		return nil
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return fail(launcherbus.NoSubIDs, "%s has no subordinate ids, and none can be given now: %v", a.User, err)
	}
	defer unlock()
	if now, err = s.read(); err != nil {
		return err
	}
	return s.give(now, a, rules)
}

// give notes the range in the ledger before anybody has it: a crash in between only wastes it.
func (s subIDs) give(now subIDFiles, a accounts.Account, rules policy.SubIDs) error {
	given, ok := free(now.all(), rules)
	if !ok {
		return fail(launcherbus.NoSubIDs, "%s has no subordinate ids, and none are left to give", a.User).
			WithHint("[subids] in %s", policy.File)
	}
	given.owner = a.User.String()
	if err := s.note(now, given); err != nil {
		return err
	}
	for _, name := range now.missing(a) {
		if err := s.addLine(name, given); err != nil {
			return fail(launcherbus.NoSubIDs, "%s has no subordinate ids, and /etc/%s cannot be changed: %v", a.User,
				name, err)
		}
	}
	return nil
}

// subIDFiles is what subuid, subgid and the ledger say.
type subIDFiles struct{ uids, gids, ledger []idRange }

func (s subIDs) read() (subIDFiles, error) {
	var f subIDFiles
	for _, from := range []struct {
		root *os.Root
		name string
		into *[]idRange
	}{{s.etc, "subuid", &f.uids}, {s.etc, "subgid", &f.gids}, {s.state, ledgerName, &f.ledger}} {
		data, err := from.root.ReadFile(from.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f, fmt.Errorf("cannot read the subordinate ids: %w", err)
		}
		*from.into = parseRanges(data)
	}
	return f, nil
}

func (f subIDFiles) all() []idRange { return slices.Concat(f.uids, f.gids, f.ledger) }

// missing names the files in which the account has no range.
func (f subIDFiles) missing(a accounts.Account) []string {
	var names []string
	if !slices.ContainsFunc(f.uids, func(r idRange) bool { return r.of(a) }) {
		names = append(names, "subuid")
	}
	if !slices.ContainsFunc(f.gids, func(r idRange) bool { return r.of(a) }) {
		names = append(names, "subgid")
	}
	return names
}

// foreign refuses an account whose own uid is one of another's subordinate ids: that other could become it.
func (f subIDFiles) foreign(a accounts.Account) error {
	for _, r := range f.all() {
		if !r.of(a) && uint64(a.UID) >= r.start && uint64(a.UID) < r.end() {
			return fail(launcherbus.NoSubIDs, "uid %d of %s is one of the subordinate ids of %s", a.UID, a.User,
				r.owner).WithHint("give them out elsewhere: [subids] in %s", policy.File)
		}
	}
	return nil
}

// note writes all ranges that were seen, and the one about to be given, into the ledger.
func (s subIDs) note(now subIDFiles, given idRange) error {
	lines := ledgerHead
	noted := map[string]bool{}
	for _, r := range append(slices.Concat(now.ledger, now.uids, now.gids), given) {
		if line := r.String(); !noted[line] {
			noted[line] = true
			lines += line + "\n"
		}
	}
	return replaceSynced(s.state, ledgerName, []byte(lines), nil)
}

// addLine adds a range to one of the files in /etc, whose mode and owner stay.
func (s subIDs) addLine(name string, r idRange) error {
	info, err := s.etc.Lstat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var data []byte
	if err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("it is not a regular file")
		}
		if data, err = s.etc.ReadFile(name); err != nil {
			return err
		}
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return replaceSynced(s.etc, name, append(data, r.String()+"\n"...), info)
}

// replaceSynced replaces a file at once and syncs it. The new one has the mode and owner of like; with a nil like it is
// root's and everyone may read it.
func replaceSynced(root *os.Root, name string, content []byte, like fs.FileInfo) error {
	temp := "." + path.Base(name) + ".gifford-launcher"
	_ = root.Remove(temp)
	file, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	mode, uid, gid := fs.FileMode(0o644), 0, 0
	if like != nil {
		mode, uid, gid = like.Mode().Perm(), int(nofollow.Owner(like)), int(nofollow.Group(like))
	}
	_, err = file.Write(content)
	if like != nil {
		err = errors.Join(err, file.Chown(uid, gid))
	}
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = root.Remove(temp)
	}
	return err
}
