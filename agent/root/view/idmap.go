package view

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
)

// Range maps Count ids from Inside on to those from Outside on (user_namespaces(7)).
type Range struct{ Inside, Outside, Count int64 }

// IDMap is a mapping of user or group ids.
type IDMap []Range

// then returns the mapping that applies m and then next. An id that next does not know is
// left out.
func (m IDMap) then(next IDMap) IDMap {
	var all IDMap
	for _, a := range m {
		for _, b := range next {
			from := max(a.Outside, b.Inside)
			to := min(a.Outside+a.Count, b.Inside+b.Count)
			if from < to {
				all = append(all, Range{a.Inside + from - a.Outside, b.Outside + from - b.Inside, to - from})
			}
		}
	}
	return all
}

// inverse swaps the two sides.
func (m IDMap) inverse() IDMap {
	all := make(IDMap, len(m))
	for i, r := range m {
		all[i] = Range{r.Outside, r.Inside, r.Count}
	}
	return all
}

func (m IDMap) size() int64 {
	var n int64
	for _, r := range m {
		n += r.Count
	}
	return n
}

// rootless is the user namespace of an account's Podman: its own id is 0, its
// subordinate ids follow in the order of the file.
func rootless(id uint32, subordinate IDMap) IDMap {
	all := IDMap{{0, int64(id), 1}}
	next := int64(1)
	for _, r := range subordinate {
		all = append(all, Range{next, r.Outside, r.Count})
		next += r.Count
	}
	return all
}

// keepID is how Podman's "--userns=keep-id:uid=ID" maps the container's ids into the
// user namespace of its caller with that many subordinate ids (podman-run(1); the order
// and the limits are those of Podman 4.3 and 5).
func keepID(id, subordinate int64) IDMap {
	all := IDMap{{0, 1, min(id, subordinate)}, {id, 0, 1}}
	if subordinate > id {
		all = append(all, Range{id + 1, id + 1, subordinate - id})
	}
	return all
}

// storage is the form in which containers/storage writes a layer's mapping.
func (m IDMap) storage() []imagestore.Map {
	var all []imagestore.Map
	for _, r := range m {
		all = append(all, imagestore.Map{ContainerID: r.Inside, HostID: r.Outside, Size: r.Count})
	}
	return all
}

// subordinate reads the ranges of an account from subuid(5) or subgid(5): lines that name
// it or its uid, in the order in which Podman maps them, by their first id.
func subordinate(file io.Reader, name string, uid uint32) (IDMap, error) {
	var all IDMap
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		f := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(f) != 3 || f[0] != name && f[0] != strconv.FormatUint(uint64(uid), 10) {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 || start+count > 1<<32-1 {
			return nil, fmt.Errorf("subordinate ids of %s: cannot read %q", name, lines.Text())
		}
		all = append(all, Range{0, int64(start), int64(count)})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no subordinate ids", name)
	}
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.Outside, b.Outside) })
	return all, nil
}

// ids is the mapping of one kind of ids, for the mount and for the metadata.
type ids struct {
	mount   IDMap            // from the store's disk to the host
	storage []imagestore.Map // as Podman records it
}

// combine makes the mapping of the store that the keeper's Podman filled, for a container in which the member has the
// id inner.
func combine(keeper, member IDMap, keeperID, memberID, inner uint32) ids {
	keep := keepID(int64(inner), member.size())
	return ids{
		mount:   rootless(keeperID, keeper).inverse().then(keep).then(rootless(memberID, member)),
		storage: keep.storage(),
	}
}
