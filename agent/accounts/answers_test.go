package accounts

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestParseSwitch(t *testing.T) {
	for text, want := range map[string][]string{
		"passwd: files systemd\n":                             {"files", "systemd"},
		"# passwd: nis\n  passwd :\tfiles sss # compat\n":     {"files", "sss"},
		"passwd: sss [NOTFOUND=return !UNAVAIL=merge] files":  {"sss", "files"},
		"passwd:sss [NOTFOUND=return][SUCCESS=return]ldap":    {"sss", "ldap"},
		"passwd: files [unfinished":                           {"files"},
		"group: files\nshadow: sss\n":                         nil,
		"passwd_compat: nis\npasswd: compat\npasswd: files\n": {"compat"},
		"": nil,
	} {
		if diff := cmp.Diff(want, parseSwitch(text, "passwd")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// withSwitch is a Directory whose name service has the sources of text.
func withSwitch(t *testing.T, text string) Directory {
	t.Helper()
	d := directory(t)
	d.Switch = filepath.Join(t.TempDir(), "nsswitch.conf")
	if err := os.WriteFile(d.Switch, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func exists(ctx context.Context, d Directory, u ident.User) (bool, error) {
	_, yes, err := d.UID(ctx, u)
	return yes, err
}

// TestNoIsCertain checks that a "no" counts only while all sources answer, and that a "yes" needs none but its own.
func TestNoIsCertain(t *testing.T) {
	bob, alice := user(t, "bob"), user(t, "alice")
	for name, tt := range map[string]struct {
		sources string
		answers bool
	}{
		"all answer":       {"passwd: files sss\ngroup: files sss\n", true},
		"no sources named": {"", true},
		"accounts":         {"passwd: files down\ngroup: files\n", false},
		"groups":           {"passwd: files\ngroup: down [NOTFOUND=return] files\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := withSwitch(t, tt.sources)
			for what, ask := range map[string]func(context.Context) (bool, error){
				"an account": func(ctx context.Context) (bool, error) { return exists(ctx, d, bob) },
				"a group":    func(ctx context.Context) (bool, error) { return d.GroupExists(ctx, "nosuch") },
				"a member":   func(ctx context.Context) (bool, error) { return d.MemberOf(ctx, alice, "primary") },
			} {
				yes, err := ask(t.Context())
				if yes || (err == nil) != tt.answers || errors.Is(err, ErrNotFound) {
					t.Errorf("%s: %v, %v", what, yes, err)
				}
			}
			if yes, err := d.MemberOf(t.Context(), alice, "cgs"); !yes || err != nil {
				t.Errorf("a member who is found: %v, %v", yes, err)
			}
		})
	}
	d := withSwitch(t, "passwd: files\n")
	if err := os.Remove(d.Switch); err != nil {
		t.Fatal(err)
	}
	if yes, err := exists(t.Context(), d, bob); yes || err != nil {
		t.Errorf("without nsswitch.conf: %v, %v", yes, err)
	}
	d.Switch = t.TempDir()
	if _, err := exists(t.Context(), d, bob); err == nil {
		t.Error("an unreadable nsswitch.conf passes for an answer")
	}
}

// TestRealSources checks that getent(1) of this host understands the question, for a source that answers and for one
// that is not there.
func TestRealSources(t *testing.T) {
	if _, err := os.Stat(Getent); err != nil {
		t.Skip("this host has no getent")
	}
	_, noSSSD := os.Stat(sssPipe)
	for sources, answers := range map[string]bool{
		"passwd: files sss\ngroup: sss files\n":    errors.Is(noSSSD, fs.ErrNotExist), // never used here
		"passwd: files\ngroup: files\n":            true,
		"passwd: files nosuch\ngroup: files\n":     false,
		"passwd: files\ngroup: nosuch files\n":     false,
		"passwd: nosuch [UNAVAIL=continue] files":  false,
		"passwd: files [NOTFOUND=return]\ngroup: ": true,
	} {
		d := withSwitch(t, sources)
		d.Command = ""
		if err := d.Answers(t.Context()); (err == nil) != answers {
			t.Errorf("%q: %v", sources, err)
		}
	}
}
