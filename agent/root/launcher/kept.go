package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// keptContainer is one line of a record: which profile keeps a container of a server, and
// the hash of what the container was made from, and the devices that are in it.
type keptContainer struct {
	profile, settings string
	devices           []string
}

// keptDevices begins the third word of a record's line, which is there if there are devices.
const keptDevices = "devices="

func deviceNames(devices []contract.Device) (names []string) {
	for _, d := range devices {
		names = append(names, d.Name)
	}
	return names
}

// keptName is the record of one server below the state directory: "kept", the user, and the
// server or "_". Only root reads and writes it.
func keptName(key ident.Key) string {
	parts := contract.SocketDirParts(key)
	return path.Join("kept", parts[1], parts[2])
}

// imageName is the record of the image that a kept container needs (agent/imagestore).
// One for each profile adds its name after a dot, which is in no server's name.
func imageName(key ident.Key) string {
	parts := contract.SocketDirParts(key)
	return path.Join("images", parts[1], parts[2])
}

// kept reads the record of a server; none is no error.
func (f files) kept(key ident.Key) ([]keptContainer, error) {
	data, err := f.state.ReadFile(keptName(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot read what is kept of server %s: %w", key, err)
	}
	var all []keptContainer
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		var devices []string
		if len(words) == 3 && strings.HasPrefix(words[2], keptDevices) {
			devices = strings.Split(words[2][len(keptDevices):], ",")
			words = words[:2]
		}
		if len(words) != 2 {
			return nil, fmt.Errorf("cannot read what is kept of server %s: line %.80q", key, line)
		}
		all = append(all, keptContainer{words[0], words[1], devices})
	}
	return all, nil
}

// noteKept adds a profile's container to the record. One that stands there was made
// before, from what it says.
func (f files) noteKept(key ident.Key, c keptContainer) error {
	all, err := f.kept(key)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(k keptContainer) bool { return k.profile == c.profile }) {
		return nil
	}
	if err := ownDirectory(f.state, path.Dir(keptName(key)), private); err != nil {
		return err
	}
	var b strings.Builder
	for _, k := range append(all, c) {
		fmt.Fprintf(&b, "%s %s", k.profile, k.settings)
		if len(k.devices) > 0 {
			fmt.Fprintf(&b, " %s%s", keptDevices, strings.Join(k.devices, ","))
		}
		b.WriteByte('\n')
	}
	return replace(f.state, keptName(key), b.String(), 0o600)
}

// forgetKept removes the records of a server whose containers are gone.
func (f files) forgetKept(key ident.Key) error {
	_ = f.state.Remove(imageName(key))
	dir, base := path.Split(imageName(key))
	entries, _ := fs.ReadDir(f.state.FS(), path.Clean(dir))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base+".") {
			_ = f.state.Remove(path.Join(dir, e.Name()))
		}
	}
	if err := f.state.Remove(keptName(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget what was kept of server %s: %w", key, err)
	}
	return nil
}

// allKept names the servers that have a record.
func (f files) allKept() []ident.Key {
	var keys []ident.Key
	_ = fs.WalkDir(f.state.FS(), "kept", func(name string, d fs.DirEntry, err error) error {
		parts := strings.Split(name, "/")
		if err != nil || d.IsDir() || len(parts) != 3 {
			return nil
		}
		server := parts[2]
		if server == "_" {
			server = ""
		}
		if key, err := ident.ParseKey(parts[1], server); err == nil {
			keys = append(keys, key)
		}
		return nil
	})
	return keys
}

// Kept returns what persistent profiles keep, of all members.
func (l *Launcher) Kept(ctx context.Context) ([]launcherbus.KeptRow, error) {
	rules, err := l.policy()
	if err != nil {
		return nil, err
	}
	podman, err := l.cfg.Podman(ctx)
	if err != nil {
		return nil, err
	}
	rows := []launcherbus.KeptRow{}
	for _, key := range l.files.allKept() {
		all, err := l.files.kept(key)
		if err != nil {
			return nil, err
		}
		for _, k := range all {
			rows = append(rows, launcherbus.Kept{Key: key, Profile: k.profile,
				Outdated: l.outdated(ctx, rules, podman, key, k)}.Row())
		}
	}
	return rows, nil
}

// outdated reports whether a container that is made now would be another.
func (l *Launcher) outdated(ctx context.Context, rules *policy.Policy, podman contract.PodmanVersion, key ident.Key,
	k keptContainer) bool {
	i := slices.IndexFunc(rules.Profiles, func(p policy.Profile) bool { return p.Name == k.profile && p.Persistent })
	if i < 0 {
		return true
	}
	account, err := l.cfg.Accounts.Lookup(ctx, key.User)
	if err != nil {
		return false // who is gone starts nothing
	}
	mounts, err := l.chooseMounts(ctx, rules, account, rules.Profiles[i])
	if err != nil {
		return false // a start would be refused
	}
	in := unit.Input{Key: key, UID: account.UID, Profile: rules.Profiles[i], Policy: rules, Mounts: mounts,
		Podman: podman}
	return in.Settings() != k.settings
}

// Reset removes, as the member, the containers that were kept of a server, so that the
// next start makes a fresh one. It returns when they are gone.
func (l *Launcher) Reset(ctx context.Context, key ident.Key) error {
	ctx, cancel := context.WithTimeout(ctx, resetTime)
	defer cancel()
	defer l.users.lock(key.User)()
	all, err := l.files.kept(key)
	if err != nil {
		return err
	} else if len(all) == 0 {
		return fail(launcherbus.NotFound, "nothing is kept of server %s", key)
	}
	in, account, err := l.permitReset(ctx, key)
	if err != nil {
		return err
	}
	if l.server(key) != nil {
		return fail(launcherbus.AlreadyExists, "server %s is not stopped\nhint: stop it first", key)
	}
	if err := l.runReset(ctx, in, account, all); err != nil {
		return err
	}
	if err := l.files.forgetKept(key); err != nil {
		return err
	}
	l.cfg.Log.Info("server reset", "event", "server-reset", "user", key.User.String(), "server", key.Server.String(),
		"containers", len(all))
	return nil
}

// permitReset asks the name service and the policy who the member is. Somebody who may no
// longer have a server can still be rid of what he has kept.
func (l *Launcher) permitReset(ctx context.Context, key ident.Key) (unit.Input, accounts.Account, error) {
	rules, err := l.policy()
	if err != nil {
		return unit.Input{}, accounts.Account{}, err
	}
	account, err := l.cfg.Accounts.Lookup(ctx, key.User)
	if errors.Is(err, accounts.ErrNotFound) {
		return unit.Input{}, account, fail(launcherbus.NoAccount, "there is no Unix account %q on this host", key.User)
	} else if err != nil {
		return unit.Input{}, account, err
	}
	if account.UID == 0 || account.UID < rules.Host.MinUID {
		return unit.Input{}, account, fail(launcherbus.Refused,
			"%s has uid %d; accounts below %d have no server (min_uid in %s)", key.User, account.UID, rules.Host.MinUID,
			policy.File)
	}
	podman, err := l.cfg.Podman(ctx)
	return unit.Input{Key: key, UID: account.UID, Policy: rules, Podman: podman}, account, err
}

func (l *Launcher) runReset(ctx context.Context, in unit.Input, account accounts.Account, all []keptContainer) error {
	if err := l.cfg.Manager.EnableLinger(ctx, account.UID); err != nil {
		return err
	}
	if err := l.files.prepareUser(account); err != nil {
		return err
	}
	var profiles []string
	for _, k := range all {
		profiles = append(profiles, k.profile)
	}
	name := unit.ResetUnit(in.Key)
	wait, err := l.cfg.Manager.StartTransient(ctx, unit.Reset(in, profiles))
	if err == nil {
		err = wait(ctx)
	}
	if err != nil {
		l.cfg.Log.Warn("cannot reset a server", "event", "reset-failed", "user", in.Key.User.String(), "server",
			in.Key.Server.String(), "error", err)
		return fail(launcherbus.StartFailed, "what is kept of server %s cannot be removed\nhint: journalctl -u %s",
			in.Key, strings.TrimSuffix(name, ".service"))
	}
	return nil
}
