package mountinfo

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRead reads what the kernel writes, and refuses what it does not.
func TestRead(t *testing.T) {
	const text = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:44 / /run rw master:2 propagate_from:1 - tmpfs tmpfs rw,size=8k
31 30 0:45 / /run/a\040b\134c rw - fuse.sshfs x:\040y rw,user_id=5001,group_id=0,allow_other
32 30 0:46 / /cluster rw - fuse.glusterfs x rw,user_id=0,group_id=0
33 30 0:47 / /x\04 rw - fuse none rw
34 30 0:48 / /sys/fs/fuse rw - fusectl none rw
35 30 0:49 / /ntfs rw - fuseblk /dev/b rw,user_id=10
36 30 0:50 / /nameless rw - fuse.x  rw,user_id=5001
37 30 0:51 / /false rw - fuse x\ruser_id=0 rw,user_id=5001
38 30 0:52 / /a\fb rw - fuse x\u00a0user_id=0\v rw,user_id=5001
39 30 0:53 / /empty rw - tmpfs  rw
`
	blanks := strings.NewReplacer(`\r`, "\r", `\f`, "\f", `\v`, "\v", `\u00a0`, "\u00a0")
	got, err := read(strings.NewReader(blanks.Replace(text)))
	want := []Mount{{21, "/", false}, {30, "/run", false}, {31, "/run/a b\\c", true}, {32, "/cluster", false},
		{33, "/x\\04", true}, {34, "/sys/fs/fuse", false}, {35, "/ntfs", true}, {36, "/nameless", true},
		{37, "/false", true}, {38, "/a\fb", true}, {39, "/empty", false}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	for name, text := range map[string]string{"short": "21 1 8:1 / /\n", "no type": "21 1 8:1 / / rw - ext4 x\n",
		"number": "x 1 8:1 / / rw - ext4 x rw\n", "long": strings.Repeat("x", 1<<20+1)} {
		if got, err := read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

// TestReadLong reads the others besides a mount whose path a member has made longer than anybody holds.
func TestReadLong(t *testing.T) {
	long := "/" + strings.Repeat("d/", 1<<20)
	got, err := read(strings.NewReader("31 30 0:45 / " + long + " rw - fuse x rw,user_id=0\n" +
		"32 30 0:46 / /cluster rw - nfs4 x rw\n"))
	if err != nil || len(got) != 2 || !got[0].Foreign || !strings.HasPrefix(long, got[0].Point) ||
		len(got[0].Point) > maxLine || got[1] != (Mount{32, "/cluster", false}) {
		t.Errorf("%d mounts, %v", len(got), err)
	}
}

// FuzzRead checks that no text makes the reader panic, and that a FUSE mount of somebody's is never taken for
// root's.
func FuzzRead(f *testing.F) {
	f.Add("31 30 0:45 / /run/a\\040b rw - fuse.sshfs x rw,user_id=5001")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := read(strings.NewReader(text))
		for _, m := range all {
			if err == nil && !m.Foreign && strings.Contains(text, " - fuse ") && !strings.Contains(text, "user_id=0") {
				if len(all) == 1 {
					t.Errorf("%q is read as %+v", text, m)
				}
			}
		}
	})
}

// TestRefuse checks that a file system of root's is not refused, and what cannot be found is.
func TestRefuse(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := Refuse(dir); err != nil {
		t.Error(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Refuse(dir); err == nil || errors.Is(err, ErrForeign) {
		t.Errorf("a closed file: %v", err)
	}
}
