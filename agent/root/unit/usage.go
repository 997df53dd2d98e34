package unit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// UsageInput is all that the unit is made of that measures what a member's files take.
type UsageInput struct {
	User   ident.User
	Policy *policy.Policy
	// UIDs and GIDs are the member's subordinate ids, as "first:count"; files in their
	// containers' storage belong to them.
	UIDs, GIDs []string
}

// UsageUnit is the name of that unit.
func UsageUnit(u ident.User) string { return "gifford-usage-" + u.String() + ".service" }

// UsageFileName is where the unit leaves its result, in the member's UserDir.
const UsageFileName = "usage.json"

// BuildUsage makes the unit. It runs as the member when nobody else needs the disk or a
// processor, sees no network and can write nothing but the result's directory.
func BuildUsage(in UsageInput) Spec {
	dir := UserDir(in.User)
	args := []string{Helper, "usage", "--result", path.Join(dir, UsageFileName), "--storage", dir, "--home",
		in.Policy.Host.HomeOf(in.User)}
	for _, r := range in.UIDs {
		args = append(args, "--uids", r)
	}
	for _, r := range in.GIDs {
		args = append(args, "--gids", r)
	}
	return Spec{Name: UsageUnit(in.User), Properties: []Property{
		{"Description", "Measures what the files of " + in.User.String() + " take"},
		{"Slice", Slice},
		{"User", in.User.String()},
		{"Type", "oneshot"},
		{"CollectMode", "inactive-or-failed"}, // a failed one must not stand in the way of the next
		{"ExecStart", []Command{command(escape(args)...)}},
		{"WorkingDirectory", dir},
		{"Environment", []string{"HOME=" + dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}},
		{"SyslogIdentifier", "gifford-usage"},
		// RuntimeMaxSec has no effect on this type (systemd.service(5)).
		{"TimeoutStartUSec", micros(in.Policy.Host.UsageTime)},
		{"Nice", int32(19)},
		{"IOSchedulingClass", int32(3)}, // idle
		{"MemoryMax", uint64(1 << 30)},
		{"TasksMax", uint64(64)},
		// Nothing here may set NoNewPrivileges, as seccomp filters do: newuidmap needs its own.
		{"PrivateNetwork", true},
		{"PrivateTmp", true},
		{"ProtectSystem", "strict"},
		{"ReadWritePaths", []string{dir}},
	}}
}

// Usage is what a member's files took, as the unit saw it.
type Usage struct {
	Ended   int64     `json:"ended"` // seconds since 1970
	Storage UsageTree `json:"storage"`
	Home    UsageTree `json:"home"`
}

// UsageTree is one directory with all below it on the same file system.
type UsageTree struct {
	Bytes  int64 `json:"bytes"`  // of blocks, each file once
	Files  int64 `json:"files"`  // files and directories
	Unread int64 `json:"unread"` // directories and files that could not be looked at
}

// maxUsage bounds the file, maxCount a number in it: no disk is larger.
const (
	maxUsage = 4 << 10
	maxCount = 1 << 60
)

// ReadUsage reads the result, which is the member's to write and is believed no more than
// that: it must have the right form, and a time that has come.
func ReadUsage(from io.Reader, now time.Time) (Usage, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxUsage+1))
	if err != nil {
		return Usage{}, err
	}
	if len(data) > maxUsage {
		return Usage{}, fmt.Errorf("it has more than %d bytes", maxUsage)
	}
	var u Usage
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&u); err != nil {
		return Usage{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Usage{}, errors.New("something follows the result")
	}
	for _, n := range []int64{u.Storage.Bytes, u.Storage.Files, u.Storage.Unread, u.Home.Bytes, u.Home.Files,
		u.Home.Unread} {
		if n < 0 || n > maxCount {
			return Usage{}, fmt.Errorf("%d is no size or number of files", n)
		}
	}
	if u.Ended <= 0 || u.Ended > now.Unix()+1 {
		return Usage{}, errors.New("its time has not come")
	}
	return u, nil
}
