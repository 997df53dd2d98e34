// Package accounts asks the host's name service (files, LDAP, SSSD …) about Unix accounts
// and groups. With cgo off, Go alone sees only /etc/passwd, so the questions go to
// getent(1), which loads the same NSS modules as every other program. It must never be
// given a name that ident has not parsed, nor run anything but getent.
package accounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ErrNotFound says that the name service knows no account or group of that name.
var ErrNotFound = errors.New("not known to the host's name service")

// Account is a Unix account.
type Account struct {
	User ident.User
	UID  uint32
	GID  uint32 // primary group
	Home string // as the name service has it; not necessarily the one the policy gives
}

// Service asks getent.
type Service struct {
	getent string
	// nobody makes the child process an unprivileged user; set when the caller is root.
	nobody bool
}

// New makes a Service on the host's getent.
func New() Service { return Service{getent: "/usr/bin/getent", nobody: os.Getuid() == 0} }

// askBound is how long a name service may take to answer.
const askBound = 10 * time.Second

// notFound is getent's exit status for a key that is not in the database (getent(1)).
const notFound = 2

// nobodyID is the overflow uid and gid.
const nobodyID = 65534

// ask runs getent for one key and gives the first line of its answer.
func (s Service) ask(ctx context.Context, database, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.getent, "--", database, key)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Dir = "/"
	if s.nobody {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyID, Gid: nobodyID}}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == notFound {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("getent %s %s: %w: %s", database, key, err, strings.TrimSpace(stderr.String()))
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}

// Lookup gives the account of a user, or ErrNotFound.
func (s Service) Lookup(ctx context.Context, user ident.User) (Account, error) {
	line, err := s.ask(ctx, "passwd", user.String())
	if err != nil {
		return Account{}, fmt.Errorf("account %q: %w", user, err)
	}
	return parsePasswd(user, line)
}

// parsePasswd reads a line of passwd(5). The name service may match names loosely (case,
// a domain), so an answer for another name is not an answer.
func parsePasswd(user ident.User, line string) (Account, error) {
	f := strings.Split(line, ":")
	if len(f) != 7 {
		return Account{}, fmt.Errorf("account %q: cannot read the name service's answer %q", user, line)
	}
	if f[0] != user.String() {
		return Account{}, fmt.Errorf("account %q: the name service answers for %q: %w", user, f[0], ErrNotFound)
	}
	uid, errUID := strconv.ParseUint(f[2], 10, 32)
	gid, errGID := strconv.ParseUint(f[3], 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return Account{}, fmt.Errorf("account %q: %w", user, err)
	}
	return Account{User: user, UID: uint32(uid), GID: uint32(gid), Home: f[5]}, nil
}

// Groups gives the ids of all groups the account belongs to, the primary one included.
func (s Service) Groups(ctx context.Context, a Account) ([]uint32, error) {
	line, err := s.ask(ctx, "initgroups", a.User.String())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("groups of %q: %w", a.User, err)
	}
	groups := []uint32{a.GID}
	for i, field := range strings.Fields(line) {
		gid, err := strconv.ParseUint(field, 10, 32)
		if i == 0 {
			continue // the name
		}
		if err != nil {
			return nil, fmt.Errorf("groups of %q: cannot read the name service's answer %q", a.User, line)
		}
		groups = append(groups, uint32(gid))
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// groupName is what may stand in the settings for a group: what useradd(8) and systemd
// accept, and the '@', '\' and space of directory services.
var groupName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\ -]{0,127}$`)

// GroupID gives a group's id, or ErrNotFound.
func (s Service) GroupID(ctx context.Context, group string) (uint32, error) {
	if !groupName.MatchString(group) {
		return 0, fmt.Errorf("cannot use group name %q", group)
	}
	line, err := s.ask(ctx, "group", group)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", group, err)
	}
	f := strings.Split(line, ":")
	if len(f) != 4 {
		return 0, fmt.Errorf("group %q: cannot read the name service's answer %q", group, line)
	}
	gid, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", group, err)
	}
	return uint32(gid), nil
}

// Exists tells whether there is an account of that name.
func (s Service) Exists(ctx context.Context, user ident.User) (bool, error) {
	_, err := s.Lookup(ctx, user)
	return known(err)
}

// GroupExists tells whether there is a group of that name.
func (s Service) GroupExists(ctx context.Context, group string) (bool, error) {
	_, err := s.GroupID(ctx, group)
	return known(err)
}

func known(err error) (bool, error) {
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// MemberOf tells whether a group is the user's primary or one of the supplementary
// groups. An account or a group that is not known has no members.
func (s Service) MemberOf(ctx context.Context, user ident.User, group string) (bool, error) {
	gid, err := s.GroupID(ctx, group)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	account, err := s.Lookup(ctx, user)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	groups, err := s.Groups(ctx, account)
	return slices.Contains(groups, gid), err
}
