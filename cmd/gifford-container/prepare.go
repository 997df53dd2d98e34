package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// image describes where a profile's image comes from.
type image struct {
	ref, archive, profile string
	run, slow             string // the image that gifford-view chose for the unit, and why it is not a shared one
	pull                  string // contract.PullMissing or contract.PullNever
	timeout               time.Duration
	podman                string    // the program; tests replace it
	out                   io.Writer // the unit's journal, for people
}

func prepare(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(contract.ModePrepare, flag.ContinueOnError)
	img := image{podman: contract.Podman, out: os.Stderr, run: os.Getenv(contract.EnvImage),
		slow: os.Getenv(contract.EnvSlow)}
	flags.StringVar(&img.ref, "image", "", "")
	flags.StringVar(&img.archive, "archive", "", "")
	flags.StringVar(&img.profile, "profile", "", "")
	flags.StringVar(&img.pull, "pull", contract.PullNever, "")
	flags.DurationVar(&img.timeout, "timeout", 15*time.Minute, "")
	directory := flags.String("directory", "", "")
	if err := flags.Parse(args); err != nil || img.ref == "" || flags.NArg() != 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of prepare\n%s", usage)
	}
	if *directory != "" {
		if err := os.MkdirAll(*directory, 0o755); err != nil {
			return failf(contract.ExitDirectory, "cannot make the notebook directory: %w", err)
		}
	}
	settle(ctx, img.podman, filepath.Join(os.Getenv("HOME"), "storage"))
	return img.get(ctx)
}

// get makes sure that podman has the image, either in the member's view of the shared images or in the member's own
// store.
func (i image) get(ctx context.Context) error {
	if i.slow != "" {
		i.say("copying the image into the member's own storage: " + i.slow)
	}
	shared := imagestore.IsID(i.run)
	want := i.ref
	if shared {
		want = i.run
	}
	there, lost := i.exists(ctx, want)
	if lost {
		if err := i.fix(ctx); err != nil {
			return err
		}
		there, _ = i.exists(ctx, want)
	}
	if there {
		return nil
	}
	if shared {
		return hint.Withf(failf(contract.ExitNoImage, "podman does not see image %q (%.12s) in the view of the shared "+
			"images", i.ref, i.run),
			"gifford-hub check; with share = false in [images] of %s every member has a copy", contract.PolicyFile)
	}
	switch {
	case i.archive != "":
		return i.load(ctx)
	case i.pull == contract.PullMissing:
		return i.fetch(ctx)
	}
	return hint.Withf(failf(contract.ExitNoImage, "image %q is missing and profile %q does not allow pulling it",
		i.ref, i.profile), "set archive or pull in [profile.%s] of %s", i.profile, contract.PolicyFile)
}

// migrateAdvice is part of what Podman 4.3 prints when it fails because every process of this member's containers was
// killed at once. Podman still believes that the containers run and finds no process whose user namespace it could
// join.
const migrateAdvice = "system migrate"

// exists reports whether the image exists, and whether podman first asks for a repair.
func (i image) exists(ctx context.Context, want string) (there, lost bool) {
	out, err := exec.CommandContext(ctx, i.podman, "image", "exists", want).CombinedOutput()
	return err == nil, err != nil && bytes.Contains(out, []byte(migrateAdvice))
}

// fix follows podman's advice. None of the member's containers runs then, so it stops nothing.
func (i image) fix(ctx context.Context) error {
	i.say("podman lost its processes when they were killed; resetting its state")
	if out, err := exec.CommandContext(ctx, i.podman, "system", "migrate").CombinedOutput(); err != nil {
		return failf(contract.ExitPodman, "podman cannot reset its state after its processes were killed: %w: %s", err,
			bytes.TrimSpace(out))
	}
	return nil
}

func (i image) load(ctx context.Context) error {
	if err := i.long(ctx, "loading the image from "+i.archive, "load", "--quiet", "--input", i.archive); err != nil {
		return failf(contract.ExitLoad, "cannot load image %q from %s: %w", i.ref, i.archive, err)
	}
	if there, _ := i.exists(ctx, i.ref); !there {
		return hint.With(failf(contract.ExitLoad, "the archive %s does not hold an image %q", i.archive, i.ref),
			"compare with the names that podman printed above")
	}
	return nil
}

func (i image) fetch(ctx context.Context) error {
	if err := i.long(ctx, "pulling the image "+i.ref, "pull", "--quiet", i.ref); err != nil {
		return failf(contract.ExitPull, "cannot pull image %q: %w", i.ref, err)
	}
	return nil
}

// long runs a podman command that may take long. It extends the unit's own time-out, which is meant for the container,
// by the time that the image may take.
func (i image) long(ctx context.Context, what string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	_, _ = daemon.SdNotify(false, "EXTEND_TIMEOUT_USEC="+strconv.FormatInt((i.timeout+10*time.Second).Microseconds(),
		10)+"\nSTATUS="+what)
	begun := time.Now()
	i.say(what)
	cmd := exec.CommandContext(ctx, i.podman, args...)
	cmd.Stdout, cmd.Stderr = i.out, i.out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	_, _ = daemon.SdNotify(false, "STATUS=")
	if ctx.Err() == context.DeadlineExceeded {
		return hint.Withf(failf(1, "it took longer than %s", i.timeout), "image_timeout in [profile.%s] of %s",
			i.profile, contract.PolicyFile)
	}
	if err == nil {
		i.say("done after " + time.Since(begun).Round(time.Second/10).String())
	}
	return err
}

func (i image) say(s string) { _, _ = io.WriteString(i.out, s+"\n") }
