package contract

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// FuzzReadDiskUse checks that whatever a member writes gives a result in its bounds or none.
func FuzzReadDiskUse(f *testing.F) {
	f.Add(`{"ended":5,"storage":{"bytes":1,"files":2,"unread":3},"home":{"bytes":4,"files":5,"unread":6}}`)
	now := time.Unix(1000, 0)
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ReadDiskUse(strings.NewReader(text), now)
		if err != nil {
			return
		}
		for _, n := range []int64{u.Ended, u.Storage.Bytes, u.Storage.Files, u.Storage.Unread, u.Home.Bytes,
			u.Home.Files, u.Home.Unread} {
			if n < 0 || n > maxCount || u.Ended > now.Unix()+1 {
				t.Errorf("%q gives %+v", text, u)
			}
		}
	})
}

// TestReadDiskUse checks each refusal.
func TestReadDiskUse(t *testing.T) {
	const tree = `{"bytes":1,"files":2,"unread":3}`
	tests := map[string]struct{ text, want string }{
		"good":           {`{"ended":1000,"storage":` + tree + `,"home":` + tree + `}`, ""},
		"a second ahead": {`{"ended":1001}`, ""},
		"none":           {``, "EOF"},
		"unknown key":    {`{"ended":5,"x":1}`, "unknown field"},
		"two":            {`{"ended":5}{}`, "something follows"},
		"future":         {`{"ended":1002}`, "from the future"},
		"no time":        {`{"ended":0}`, "from the future"},
		"negative":       {`{"ended":5,"home":{"files":-1}}`, "-1 is no size"},
		"storage":        {`{"ended":5,"storage":{"bytes":-1}}`, "-1 is no size"},
		"largest":        {`{"ended":5,"storage":{"bytes":1152921504606846976}}`, ""},
		"too large":      {`{"ended":5,"home":{"unread":1152921504606846977}}`, "is no size"},
		"longest":        {`{"ended":5}` + strings.Repeat(" ", maxDiskUse-11), ""},
		"too long":       {`{"ended":5}` + strings.Repeat(" ", maxDiskUse-10), "more than 4096 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u, err := ReadDiskUse(strings.NewReader(tt.text), time.Unix(1000, 0))
			switch {
			case tt.want == "" && (err != nil || u.Ended == 0):
				t.Errorf("got %+v, %v", u, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || u != DiskUse{}):
				t.Errorf("got %+v, %v; want %q", u, err, tt.want)
			}
		})
	}
	if _, err := ReadDiskUse(iotest.ErrReader(errors.New("lost")), time.Now()); err == nil {
		t.Error("a file that cannot be read is no error")
	}
}
