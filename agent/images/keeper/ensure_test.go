package keeper

import (
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// TestSource is the whole table of where an image comes from.
func TestSource(t *testing.T) {
	now := &archiveStamp{Path: "/a.tar", Size: 2, ModTime: time.Unix(2, 0).UTC()}
	same := &archiveStamp{Path: "/a.tar", Size: 2, ModTime: time.Unix(2, 0).UTC()}
	older := &archiveStamp{Path: "/a.tar", Size: 2, ModTime: time.Unix(1, 0).UTC()}
	pulls, never := policy.Profile{Pull: policy.PullMissing}, policy.Profile{Pull: policy.PullNever}
	for name, tt := range map[string]struct {
		p       policy.Profile
		there   bool
		archive *archiveStamp
		n       nameHistory
		want    origin
	}{
		"missing, pulled":                  {pulls, false, nil, nameHistory{}, fromRegistry},
		"missing, not pulled":              {never, false, nil, nameHistory{}, fromNowhere},
		"there":                            {pulls, true, nil, nameHistory{}, fromStore},
		"there, not pulled":                {never, true, nil, nameHistory{}, fromStore},
		"missing, with an archive":         {pulls, false, now, nameHistory{}, fromArchive},
		"missing, archive loaded before":   {never, false, now, nameHistory{Archive: same}, fromArchive},
		"missing, held":                    {never, false, now, nameHistory{Held: true, Archive: older}, fromArchive},
		"there, archive as it was loaded":  {never, true, now, nameHistory{Archive: same}, fromStore},
		"there, newer archive":             {never, true, now, nameHistory{Archive: older}, fromArchive},
		"there, archive never loaded":      {never, true, now, nameHistory{}, fromArchive},
		"there, newer archive, held":       {never, true, now, nameHistory{Held: true, Archive: older}, fromStore},
		"there, archive cannot be read":    {never, true, nil, nameHistory{Archive: older}, fromStore},
		"there, pulled, and newer archive": {pulls, true, now, nameHistory{Archive: older}, fromArchive},
	} {
		if got := source(tt.p, tt.there, tt.archive, tt.n); got != tt.want {
			t.Errorf("%s: from %q, want %q", name, got, tt.want)
		}
	}
}

// TestPrunable checks each reason for which an image stays.
func TestPrunable(t *testing.T) {
	all := []imagekeeper.Image{{ID: "named", Names: []string{"a"}}, {ID: "used", InUse: []string{"u"}}, {ID: "free"},
		{ID: "a1"}, {ID: "a2"}, {ID: "b1"}}
	former := func(ids ...string) *nameHistory {
		n := &nameHistory{}
		for _, id := range ids {
			n.Former = append(n.Former, imagekeeper.Former{ID: id})
		}
		return n
	}
	names := map[string]*nameHistory{"a": former("a1", "a2"), "b": former("b1")}
	for retain, want := range map[int]string{0: "free a1 a2 b1 ", 1: "free a2 ", 2: "free ", 9: "free "} {
		got := ""
		for _, image := range prunable(all, names, retain) {
			got += image.ID + " "
		}
		if got != want {
			t.Errorf("retaining %d: %s, want %s", retain, got, want)
		}
	}
}

func TestChosen(t *testing.T) {
	former := []imagekeeper.Former{{ID: id(1), Digest: "sha256:one"}, {ID: id(2), Digest: "sha256:two"}}
	for to, want := range map[string]string{"": id(1), "sha256:two": id(2), id(2): id(2), id(2)[:12]: id(2),
		id(2)[:11]: "", "sha256:": "", "latest": "", id(3): ""} {
		got, err := chosen(former, "n", to)
		if got.ID != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", to, got.ID, err, want)
		}
	}
	if _, err := chosen(nil, "n", ""); err == nil {
		t.Error("the newest of none gives no error")
	}
}
