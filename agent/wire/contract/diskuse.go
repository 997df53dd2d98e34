package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// DiskUseName is where the measuring unit leaves its result, in the member's UserDir.
const DiskUseName = "usage.json"

// DiskUse is what a member's files took, as the unit saw it.
type DiskUse struct {
	Ended   int64 `json:"ended"` // seconds since 1970
	Storage Tree  `json:"storage"`
	Home    Tree  `json:"home"`
}

// Tree is one directory with all below it on the same file system.
type Tree struct {
	Bytes  int64 `json:"bytes"`  // of blocks, each file once
	Files  int64 `json:"files"`  // files and directories
	Unread int64 `json:"unread"` // directories and files that could not be read
}

const (
	maxDiskUse = 4 << 10 // bytes of the file
	maxCount   = 1 << 60 // of a number in it: no disk is larger
)

// ReadDiskUse reads the result. The file is the member's to write, so ReadDiskUse checks its form and bounds and
// believes nothing beyond that: a result from the future is refused, too.
func ReadDiskUse(from io.Reader, now time.Time) (DiskUse, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxDiskUse+1))
	if err != nil {
		return DiskUse{}, err
	}
	if len(data) > maxDiskUse {
		return DiskUse{}, fmt.Errorf("it has more than %d bytes", maxDiskUse)
	}
	var u DiskUse
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&u); err != nil {
		return DiskUse{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return DiskUse{}, errors.New("something follows the result")
	}
	if err := u.check(now); err != nil {
		return DiskUse{}, err
	}
	return u, nil
}

func (u DiskUse) check(now time.Time) error {
	for _, n := range []int64{u.Storage.Bytes, u.Storage.Files, u.Storage.Unread, u.Home.Bytes, u.Home.Files,
		u.Home.Unread} {
		if n < 0 || n > maxCount {
			return fmt.Errorf("%d is no size or number of files", n)
		}
	}
	if u.Ended <= 0 || u.Ended > now.Unix()+1 {
		return errors.New("it is from the future, or has no time")
	}
	return nil
}
