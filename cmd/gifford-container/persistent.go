package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// persistent describes the container of a persistent profile.
type persistent struct {
	name, image, profile string
	settings             string   // hash of the settings from which a container would be made now
	environment          string   // where the container reads the server's variables
	options, payload     []string // of podman run
	podman               string   // the program; tests replace it
	out                  io.Writer
	become               func(args []string) error // replaces this process; tests record it
}

// runPersistent becomes podman, which starts the container or makes it.
func runPersistent(ctx context.Context, args []string) error {
	k := persistent{podman: contract.Podman, out: os.Stderr}
	k.become = func(args []string) error { return syscall.Exec(k.podman, args, os.Environ()) }
	if err := k.parse(args); err != nil {
		return err
	}
	credential := filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), "env")
	return k.run(ctx, credential)
}

func (k *persistent) parse(args []string) error {
	flags := flag.NewFlagSet(contract.ModePersistent, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&k.name, "name", "", "")
	flags.StringVar(&k.image, "image", "", "")
	flags.StringVar(&k.profile, "profile", "", "")
	flags.StringVar(&k.settings, "settings", "", "")
	flags.StringVar(&k.environment, "environment", "", "")
	err := flags.Parse(args)
	rest := flags.Args()
	end := slices.Index(rest, "--")
	if err != nil || k.name == "" || k.image == "" || k.environment == "" || end < 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of persistent\n%s", usage)
	}
	k.options, k.payload = rest[:end], rest[end+1:]
	return nil
}

func (k *persistent) run(ctx context.Context, credential string) error {
	if err := k.handOver(credential); err != nil {
		return err
	}
	found, err := k.find(ctx)
	switch {
	case err != nil:
		return err
	case found.settings == "":
		return k.create(ctx)
	}
	return k.start(ctx, found)
}

// handOver writes the server's variables where the container's entry point reads them. The directory is the member's
// and holds nothing but the member's own files.
func (k *persistent) handOver(credential string) error {
	env, err := os.ReadFile(credential)
	if err != nil {
		return failf(contract.ExitPodman, "cannot read the server's environment: %w", err)
	}
	_ = os.Remove(k.environment)
	f, err := os.OpenFile(k.environment, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return failf(contract.ExitPodman, "cannot hand over the server's environment: %w", err)
	}
	_, err = f.Write(contract.ShellEnv(env))
	if err := errors.Join(err, f.Close()); err != nil {
		return failf(contract.ExitPodman, "cannot hand over the server's environment: %w", err)
	}
	return nil
}

// container is what podman reports of a container.
type container struct {
	settings string // settings it was made from; "" if it is missing or was not made here
	status   string // as podman reports it
	id       string // podman's id, 64 hexadecimal digits
}

// find asks podman for the container.
func (k *persistent) find(ctx context.Context) (container, error) {
	out, err := exec.CommandContext(ctx, k.podman, "container", "exists", k.name).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return container{}, nil
	case err != nil:
		return container{}, failf(contract.ExitPodman, "podman cannot find out whether the container %s exists: %w: %s",
			k.name, err,
			bytes.TrimSpace(out))
	}
	out, err = exec.CommandContext(ctx, k.podman, "container", "inspect", "--format",
		`{{.ID}} {{.State.Status}} {{index .Config.Labels "`+contract.SettingsLabel+`"}}`, k.name).Output()
	if err != nil {
		return container{}, failf(contract.ExitPodman, "podman cannot inspect the container %s: %w", k.name, err)
	}
	words := append(strings.Fields(string(out)), "", "", "")
	return container{id: words[0], status: words[1], settings: words[2]}, nil
}

// start becomes "podman start".
func (k *persistent) start(ctx context.Context, found container) error {
	if !startable(found.status) {
		k.end(ctx, found)
	}
	if found.settings != k.settings {
		_, _ = fmt.Fprintln(k.out, hint.Join(fmt.Sprintf("settings of profile %q changed since this container was "+
			"made; they apply after a reset", k.profile),
			"reset the server on the hub's home page, or: gifford-hub servers reset"))
	}
	return k.become([]string{k.podman, "--events-backend=file", "start", "--attach", "--sig-proxy=false", k.name})
}

func startable(status string) bool {
	return slices.Contains([]string{"created", "configured", "initialized", "exited", "stopped"}, status)
}

// end lets podman know that a container has ended whose processes were all killed. Podman 4.3 reports such a container
// as "stopping" forever, since the killed conmon has left no exit status in the directory where podman reads it. So end
// writes that status in conmon's place. If it does not help, "podman start" says what is wrong.
func (k *persistent) end(ctx context.Context, found container) {
	_, _ = fmt.Fprintf(k.out, "podman reports the container as %s; recording that it was killed\n", found.status)
	if len(found.id) == 64 && strings.Trim(found.id, "0123456789abcdef") == "" {
		exit := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "libpod/tmp/exits", found.id)
		if f, err := os.OpenFile(exit, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			_, _ = f.WriteString("137")
			_ = f.Close()
		}
	}
	if out, err := exec.CommandContext(ctx, k.podman, "stop", "--time=0", k.name).CombinedOutput(); err != nil {
		_, _ = fmt.Fprintf(k.out, "podman cannot stop the container: %v: %s\n", err, bytes.TrimSpace(out))
	}
}

// create makes the container. --replace removes a container of that name that something else left behind.
func (k *persistent) create(ctx context.Context) error {
	entry, command, err := k.imageCommand(ctx)
	if err != nil {
		return err
	}
	if len(k.payload) > 0 {
		command = k.payload
	}
	args := []string{k.podman, "--events-backend=file", "run", "--replace", "--label",
		contract.SettingsLabel + "=" + k.settings}
	args = append(args, k.options...)
	args = append(args, "--entrypoint", `["/bin/sh","-c",`+quote(contract.Wrapper)+`,"sh"]`, k.image)
	return k.become(slices.Concat(args, entry, command))
}

// imageCommand returns what the image itself would run.
func (k *persistent) imageCommand(ctx context.Context) (entry, command []string, err error) {
	out, err := exec.CommandContext(ctx, k.podman, "image", "inspect", "--format", "{{json .Config}}", k.image).Output()
	if err != nil {
		return nil, nil, failf(contract.ExitPodman, "podman cannot inspect the image %s: %w", k.image, err)
	}
	var config struct{ Entrypoint, Cmd []string }
	if err := json.Unmarshal(out, &config); err != nil {
		return nil, nil, failf(contract.ExitPodman, "cannot read podman's description of the image %s: %w", k.image,
			err)
	}
	return config.Entrypoint, config.Cmd, nil
}

// quote writes a text as JSON. Encoding a string cannot fail.
func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
