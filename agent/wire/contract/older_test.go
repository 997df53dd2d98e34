package contract

import (
	"strings"
	"testing"
)

// TestOlderRequest reads what the launcher of before left for gifford-view, and refuses in it what it refuses today.
func TestOlderRequest(t *testing.T) {
	const older = `{"uid":5001,"gid":5000,"mapping":"image","image":"quay.io/a","share":true,"keep":"lab"}`
	want := ViewRequest{UID: 5001, GID: 5000, Mapping: MapImage, Image: "quay.io/a", Share: true, Persistent: "lab"}
	if got, err := ReadViewRequest([]byte(older)); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	both := strings.Replace(older, `"keep":"lab"`, `"keep":"x","persistent":"lab"`, 1)
	if got, err := ReadViewRequest([]byte(both)); err != nil || got != want {
		t.Errorf("with both: got %+v, %v", got, err)
	}
	hostile := strings.Replace(older, `"lab"`, `"../lab"`, 1)
	if got, err := ReadViewRequest([]byte(hostile)); err == nil || !strings.Contains(err.Error(), "no profile's name") {
		t.Errorf("a hostile name: %+v, %v", got, err)
	}
}

// TestMode checks that units of before find their mode, and that today's names are their own.
func TestMode(t *testing.T) {
	for argument, want := range map[string]string{"kept": ModePersistent, "forget": ModeRemove, "usage": ModeDiskUse,
		ModePersistent: ModePersistent, ModeRemove: ModeRemove, ModeDiskUse: ModeDiskUse, ModePrepare: "prepare",
		ModeNetwork: "network", ModeAPI: "api", "--version": "--version", "": "", "x": "x"} {
		if got := Mode(argument); got != want {
			t.Errorf("%q is %q, not %q", argument, got, want)
		}
	}
}
