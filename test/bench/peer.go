package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	// workDir is on the host's local disk: archives and the peer's storage.
	workDir  = "/var/lib/gifford-bench"
	peerName = "podman"
	podman   = "/usr/bin/podman"
)

// plain is a member who runs rootless Podman themselves, without gifford-hub.
type plain struct {
	account
	home string
	name string // of their unit
}

// newPlain makes an account with what rootless Podman needs: subordinate ids and a user
// manager. That is not measured; gifford-hub's starts make these themselves.
func (h *host) newPlain(ctx context.Context) (plain, error) {
	who, err := h.member(ctx)
	p := plain{who, path.Join(workDir, who.name), "plain-" + who.name + ".service"}
	if err != nil {
		return p, err
	}
	first := 1_500_000_000 + (who.uid-20000)*65536
	_, err = h.run(ctx, `usermod --add-subuids "$3-$4" --add-subgids "$3-$4" "$1"
		loginctl enable-linger "$1"
		install -d -m 0700 -o "$1" -g "$1" "$2"
		until systemctl is-active --quiet "user@$5.service"; do sleep 0.1; done`,
		who.name, p.home, fmt.Sprint(first), fmt.Sprint(first+65535), fmt.Sprint(who.uid))
	return p, err
}

// start loads the image from an archive and runs it in a unit of the form of gifford-hub's
// own, without its limits and mounts. It returns the time from the request to active.
func (p plain) start(ctx context.Context, h *host, archive, image string, payload []string) (time.Duration, error) {
	set := func(name string, value any) property { return property{name, dbus.MakeVariant(value)} }
	load := []string{podman, "load", "--quiet", "--input", archive}
	run := append([]string{podman, "--events-backend=file", "run", "--rm", "--replace", "--name", "plain",
		"--pull=never", "--sdnotify=conmon", "--cgroups=split",
		"--log-driver=passthrough", "--pids-limit=0", "--userns=keep-id:uid=1000,gid=100", image}, payload...)
	return h.startUnit(ctx, p.name, []property{
		set("Description", "plain rootless Podman"), set("Slice", "jupyter.slice"), set("User", p.account.name),
		set("Type", "notify"), set("NotifyAccess", "all"), set("Delegate", true), set("KillMode", "mixed"),
		set("WorkingDirectory", p.home),
		set("Environment", []string{"HOME=" + p.home, fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", p.uid)}),
		set("TimeoutStartUSec", uint64(patience/time.Microsecond)),
		set("ExecStartPre", []command{{podman, load, false}}),
		set("ExecStart", []command{{podman, run, false}}),
		set("ExecStop", []command{{podman, []string{podman, "stop", "--ignore", "--time=5", "plain"}, false}}),
	})
}

// end stops the unit and removes all that the member had.
func (p plain) end(ctx context.Context, h *host) error {
	if _, err := h.run(ctx, `systemctl stop "$1"; systemctl reset-failed "$1" 2>/dev/null || true
		loginctl disable-linger "$2"`, p.name, p.account.name); err != nil {
		return err
	}
	return os.RemoveAll(h.path(p.home))
}
