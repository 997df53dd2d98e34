package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
)

// podman is found by the unit's PATH.
const podman = "podman"

// preparation is what a container needs before it can start.
type preparation struct{ image, archive, pull, socket, mkdir string }

func (p preparation) run(ctx context.Context) error {
	if p.image == "" {
		return errors.New(usage)
	}
	if p.socket != "" { // a server that was killed leaves it, and the next would not listen
		if err := os.Remove(p.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove the former server's socket: %w", err)
		}
	}
	if p.mkdir != "" {
		if err := os.MkdirAll(p.mkdir, 0o777); err != nil {
			return fmt.Errorf("cannot make the notebook folder: %w", err)
		}
	}
	return p.ensureImage(ctx)
}

// ensureImage loads or pulls the image where the member's store has it not.
func (p preparation) ensureImage(ctx context.Context) error {
	there, err := p.exists(ctx)
	switch {
	case err != nil || there:
		return err
	case p.archive != "":
		fmt.Fprintf(os.Stderr, "loading image %s from %s, once for this user\n", p.image, p.archive)
		if err := show(ctx, "load", "--input", p.archive); err != nil {
			return fmt.Errorf("cannot load image %q from %s: %w\nhint: is the file there, readable by this user, and is there room on the disk?", p.image, p.archive, err)
		}
	case p.pull == "missing":
		fmt.Fprintf(os.Stderr, "pulling image %s, once for this user\n", p.image)
		if err := show(ctx, "pull", p.image); err != nil {
			return fmt.Errorf("cannot pull image %q: %w\nhint: is the name right, and can this host reach the registry?", p.image, err)
		}
	default:
		return fmt.Errorf("image %q is not there, and its profile does not let it be pulled\nhint: set archive or pull = \"missing\" in /etc/gifford-hub/launcher.toml", p.image)
	}
	there, err = p.exists(ctx)
	if err == nil && !there {
		err = fmt.Errorf("%s does not hold image %q\nhint: the image's name in launcher.toml must be the one in the archive", p.archive, p.image)
	}
	return err
}

// exists asks the member's own store (podman-image-exists(1): status 1 means no).
func (p preparation) exists(ctx context.Context) (bool, error) {
	cmd := exec.CommandContext(ctx, podman, "image", "exists", p.image)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look into the image store: %w: %s", err, out)
	}
	return true, nil
}

// show runs podman with its messages in the unit's journal.
func show(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, podman, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
