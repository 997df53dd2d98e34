// Package accounts asks the host's name service (files, LDAP, SSSD …) for Unix accounts and groups by running
// getent(1): a program without cgo only sees /etc/passwd. It must never run anything else, use a shell, or pass a name
// that getent could read as a number or an option.
package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Getent is the program that is run.
const Getent = "/usr/bin/getent"

// ErrNotFound says that the name service answered and knows no such name.
var ErrNotFound = errors.New("not found")

// Account is a Unix account as the name service describes it.
type Account struct {
	User   ident.User
	UID    uint32
	GID    uint32 // primary group
	Home   string // as in passwd(5); the policy's home may be another
	Groups []uint32
}

// Group is a Unix group.
type Group struct {
	Name string
	GID  uint32
}

// Directory looks up accounts and groups. The zero value is ready for use. It remembers nothing between calls.
type Directory struct {
	// Command is the program to run instead of Getent, and Switch the file to read instead of Switch; for tests.
	Command, Switch string
}

// Lookup returns the account of that name with all its groups, the primary one among them. The error wraps ErrNotFound
// when there is no such account.
func (d Directory) Lookup(ctx context.Context, user ident.User) (Account, error) {
	line, err := d.get(ctx, "passwd", user.String())
	if err != nil {
		return Account{}, fmt.Errorf("account %q: %w", user, err)
	}
	account, err := parsePasswd(user, line)
	if err != nil {
		return Account{}, err
	}
	line, err = d.get(ctx, "initgroups", user.String())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Account{}, fmt.Errorf("groups of account %q: %w", user, err)
	}
	account.Groups, err = parseInitgroups(user, line, account.GID)
	return account, err
}

// UserName returns the name of the account with that uid. The error wraps ErrNotFound when
// there is none.
func (d Directory) UserName(ctx context.Context, uid uint32) (string, error) {
	id := strconv.FormatUint(uint64(uid), 10)
	line, err := d.get(ctx, "passwd", id)
	if err != nil {
		return "", fmt.Errorf("account of uid %s: %w", id, err)
	}
	f := strings.Split(line, ":")
	if len(f) != 7 || f[0] == "" || f[2] != id { // an account whose name is that number
		return "", fmt.Errorf("cannot read the name service's answer for uid %s: %.80q", id, line)
	}
	return f[0], nil
}

// Group returns the group of that name. The error wraps ErrNotFound when there is none.
func (d Directory) Group(ctx context.Context, name string) (Group, error) {
	if _, err := ident.ParseGroup(name); err != nil {
		return Group{}, err
	}
	line, err := d.get(ctx, "group", name)
	if err != nil {
		return Group{}, fmt.Errorf("group %q: %w", name, err)
	}
	return parseGroup(name, line)
}

// UID returns the uid of the account of that name, and whether there is one. An error means that the name service did
// not answer, or not with an account.
func (d Directory) UID(ctx context.Context, user ident.User) (uid uint32, exists bool, err error) {
	exists, err = d.certain(ctx, func() (bool, error) {
		line, err := d.get(ctx, "passwd", user.String())
		if ok, err := found(err); !ok {
			return false, err
		}
		account, err := parsePasswd(user, line)
		uid = account.UID
		return err == nil, err
	})
	return uid, exists, err
}

// GroupExists reports whether there is a group of that name. An error means that the name service did not answer.
func (d Directory) GroupExists(ctx context.Context, group string) (bool, error) {
	return d.certain(ctx, func() (bool, error) {
		_, err := d.Group(ctx, group)
		return found(err)
	})
}

// MemberOf reports whether the group is the user's primary or one of the supplementary groups. An unknown group has no
// members and an unknown account is in no group; UID and GroupExists tell them apart. An error means that the name
// service did not answer.
func (d Directory) MemberOf(ctx context.Context, user ident.User, group string) (bool, error) {
	return d.certain(ctx, func() (bool, error) { return d.memberOf(ctx, user, group) })
}

// memberOf is MemberOf while all sources of the name service answer.
func (d Directory) memberOf(ctx context.Context, user ident.User, group string) (bool, error) {
	g, err := d.Group(ctx, group)
	if ok, err := found(err); !ok {
		return false, err
	}
	account, err := d.Lookup(ctx, user)
	if ok, err := found(err); !ok {
		return false, err
	}
	return slices.Contains(account.Groups, g.GID), nil
}

func found(err error) (bool, error) {
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// parsePasswd reads a line of passwd(5): name, password, uid, gid, comment, home, shell.
func parsePasswd(user ident.User, line string) (Account, error) {
	f := strings.Split(line, ":")
	if len(f) != 7 || f[0] != user.String() {
		return Account{}, fmt.Errorf("cannot read the name service's answer for account %q: %.80q", user, line)
	}
	uid, err := parseID(f[2])
	if err != nil {
		return Account{}, fmt.Errorf("uid of account %q: %w", user, err)
	}
	gid, err := parseID(f[3])
	if err != nil {
		return Account{}, fmt.Errorf("gid of account %q: %w", user, err)
	}
	return Account{User: user, UID: uid, GID: gid, Home: f[5]}, nil
}

// parseInitgroups reads "alice   6001 6002"; the primary group may be missing in it.
func parseInitgroups(user ident.User, line string, primary uint32) ([]uint32, error) {
	groups := []uint32{primary}
	f := strings.Fields(line)
	if len(f) > 0 && f[0] != user.String() {
		return nil, fmt.Errorf("cannot read the name service's answer for the groups of %q: %.80q", user, line)
	}
	for _, s := range f[min(1, len(f)):] {
		gid, err := parseID(s)
		if err != nil {
			return nil, fmt.Errorf("groups of account %q: %w", user, err)
		}
		if !slices.Contains(groups, gid) {
			groups = append(groups, gid)
		}
	}
	return groups, nil
}

// parseGroup reads a line of group(5): name, password, gid, members.
func parseGroup(name, line string) (Group, error) {
	f := strings.Split(line, ":")
	if len(f) != 4 || f[0] != name {
		return Group{}, fmt.Errorf("cannot read the name service's answer for group %q: %.80q", name, line)
	}
	gid, err := parseID(f[2])
	if err != nil {
		return Group{}, fmt.Errorf("gid of group %q: %w", name, err)
	}
	return Group{name, gid}, nil
}

// parseID refuses -1, which chown(2) and setuid(2) take for "leave as it is".
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("cannot use %.20q as an id", s)
	}
	return uint32(n), nil
}
