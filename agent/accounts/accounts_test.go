package accounts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// fakeGetent answers as getent does; the real one is asked in the end-to-end tests.
const fakeGetent = `#!/bin/sh
[ "$(/usr/bin/id -u)" != 0 ] || exit 4
case "$1" in
--service=*down*) exit 2 ;;
--service=*) echo "root:x:0:0::/:/bin/sh"; exit ;;
esac
case "$1 $2" in
"passwd alice") echo "alice:x:5001:5001:Alice,,,:/cluster/alice:/bin/bash" ;;
"passwd 5001") echo "alice:x:5001:5001:Alice,,,:/cluster/alice:/bin/bash" ;;
"passwd 77") echo "77:x:5003:5003::/:/bin/sh" ;;
"initgroups alice") echo "alice                 6001 6002 5001 6003" ;;
"passwd lone") echo "lone:x:5002:100::/home/lone:/bin/sh" ;;
"initgroups lone") echo "lone                 " ;;
"passwd other") echo "alice:x:5001:5001::/:/bin/sh" ;;
"passwd minus") echo "minus:x:4294967295:1::/:/bin/sh" ;;
"passwd two") echo "two:x:1:1::/:/bin/sh"; echo "two:x:2:2::/:/bin/sh" ;;
"passwd short") echo "short:x:1" ;;
"passwd away") exit 3 ;;
"passwd gid") echo "gid:x:1:y::/:/bin/sh" ;;
"passwd ungrouped") echo "ungrouped:x:5:6::/:/bin/sh" ;;
"passwd halfway") echo "halfway:x:5:6::/:/bin/sh" ;;
"initgroups halfway") exit 3 ;;
"passwd mixed") echo "mixed:x:5:6::/:/bin/sh" ;;
"initgroups mixed") echo "alice 7" ;;
"passwd badgroup") echo "badgroup:x:5:6::/:/bin/sh" ;;
"initgroups badgroup") echo "badgroup 7 z" ;;
"passwd 78") echo ":x:78:78::/:/bin/sh" ;;
"passwd 79") echo "bob:x:79:79" ;;
"group short") echo "short:x:1" ;;
"group liar") echo "cgs:x:6001:" ;;
"group badgid") echo "badgid:x:-1:" ;;
"passwd flood")
  while :; do echo "flood:x:1:1:::xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; done ;;
"passwd slow") sleep 60 ;;
"passwd env") [ -z "$HOME$SECRET" ] && echo "env:x:7:7::/:/bin/sh" ;;
"initgroups env") echo "env 7" ;;
"group cgs") echo "cgs:x:6001:alice,bob" ;;
"group primary") echo "primary:x:100:" ;;
"group domain users") echo "domain users:x:6003:alice" ;;
"group away") exit 1 ;;
*) exit 2 ;;
esac
`

func directory(t *testing.T) Directory {
	t.Helper()
	// The child runs as nobody when the test runs as root.
	dir := t.TempDir()
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "getent")
	if err := os.WriteFile(file, []byte(fakeGetent), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET", "x")
	return Directory{Command: file}
}

func user(t *testing.T, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestLookup(t *testing.T) {
	d := directory(t)
	tests := map[string]struct {
		want     Account
		err      string
		notFound bool
	}{
		"alice": {want: Account{UID: 5001, GID: 5001, Home: "/cluster/alice",
			Groups: []uint32{5001, 6001, 6002, 6003}}},
		"lone":   {want: Account{UID: 5002, GID: 100, Home: "/home/lone", Groups: []uint32{100}}},
		"env":    {want: Account{UID: 7, GID: 7, Home: "/", Groups: []uint32{7}}},
		"nobody": {err: "not found", notFound: true},
		"other":  {err: "cannot read the name service's answer"},
		"minus":  {err: "cannot use \"4294967295\" as an id"},
		"two":    {err: "more than one line"},
		"short":  {err: "cannot read the name service's answer"},
		"away":   {err: "no answer from the name service"},
		"flood":  {err: "no answer from the name service"},

		"gid":       {err: "gid of account \"gid\""},
		"ungrouped": {want: Account{UID: 5, GID: 6, Home: "/", Groups: []uint32{6}}},
		"halfway":   {err: "groups of account \"halfway\": "},
		"mixed":     {err: "answer for the groups of \"mixed\""},
		"badgroup":  {err: "cannot use \"z\" as an id"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := d.Lookup(t.Context(), user(t, name))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || errors.Is(err, ErrNotFound) != tt.notFound {
					t.Errorf("error is %v (not found: %v), want %q", err, errors.Is(err, ErrNotFound), tt.err)
				}
				return
			}
			tt.want.User = user(t, name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(ident.User{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUserName(t *testing.T) {
	d := directory(t)
	for uid, want := range map[uint32]string{5001: "alice", 77: "", 5: "", 78: "", 79: ""} {
		got, err := d.UserName(t.Context(), uid)
		if got != want || (err == nil) != (want != "") || uid == 5 && !errors.Is(err, ErrNotFound) {
			t.Errorf("uid %d: %q, %v", uid, got, err)
		}
	}
}

// TestSlow checks that a name service that hangs does not hold up the caller.
func TestSlow(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := directory(t).Lookup(ctx, user(t, "slow"))
	if err == nil || errors.Is(err, ErrNotFound) || time.Since(begun) > 5*time.Second {
		t.Errorf("error is %v after %s", err, time.Since(begun))
	}
}

func TestMemberOf(t *testing.T) {
	d := directory(t)
	tests := map[string]struct {
		user, group string
		want, fails bool
	}{
		"supplementary":   {"alice", "cgs", true, false},
		"primary":         {"lone", "primary", true, false},
		"with a blank":    {"alice", "domain users", true, false},
		"not":             {"lone", "cgs", false, false},
		"unknown group":   {"alice", "nosuch", false, false},
		"unknown account": {"nobody", "cgs", false, false},
		"group as gid":    {"alice", "6001", false, true},
		"option":          {"alice", "--service", false, true},
		"away":            {"alice", "away", false, true},
		"account is away": {"away", "cgs", false, true},
		"short answer":    {"alice", "short", false, true},
		"another's":       {"alice", "liar", false, true},
		"no gid":          {"alice", "badgid", false, true},
		"empty":           {"alice", "", false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := d.MemberOf(t.Context(), user(t, tt.user), tt.group)
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if ok, err := d.GroupExists(t.Context(), "nosuch"); ok || err != nil {
		t.Errorf("GroupExists of an unknown group: %v, %v", ok, err)
	}
	if uid, ok, err := d.UID(t.Context(), user(t, "alice")); uid != 5001 || !ok || err != nil {
		t.Errorf("UID of an account: %d, %v, %v", uid, ok, err)
	}
	if uid, ok, err := d.UID(t.Context(), user(t, "other")); ok || err == nil {
		t.Errorf("UID of another's account: %d, %v, %v", uid, ok, err)
	}
}

// FuzzParse checks that no answer of a name service makes the parsers panic or give an
// invalid id.
func FuzzParse(f *testing.F) {
	f.Add("alice:x:5001:5001::/:/bin/sh")
	f.Add("alice 1 2 3")
	f.Add("cgs:x:6001:")
	u, err := ident.ParseUser("alice")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if a, err := parsePasswd(u, line); err == nil && (a.UID == 1<<32-1 || a.GID == 1<<32-1) {
			t.Errorf("%q gave an invalid id", line)
		}
		if groups, err := parseInitgroups(u, line, 1); err == nil && groups[0] != 1 {
			t.Errorf("%q lost the primary group", line)
		}
		if g, err := parseGroup("cgs", line); err == nil && g.GID == 1<<32-1 {
			t.Errorf("%q gave an invalid id", line)
		}
	})
}
