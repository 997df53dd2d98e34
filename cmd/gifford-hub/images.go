package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

func (a *app) keeper() *imagekeeper.Client { return imagekeeper.New(a.imagesSocket) }

func (a *app) imagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images",
		Short: "List, pull, import and remove the images that servers run on",
		Long: `Looks after the host's one copy of every image, which all members' servers share, through
the image keeper. Only root may do it. It needs no running hub.`,
		Example: `  sudo gifford-hub images list
  sudo gifford-hub images pull --all`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.imagesListCommand(), a.imagesShowCommand(), a.imagesPullCommand(), a.imagesImportCommand(),
		a.imagesRemoveCommand(), a.imagesPruneCommand(), a.imagesRollbackCommand())
	return cmd
}

func (a *app) imagesListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images of the store",
		Long: `Lists the images of the store by name, below each name the former images that are retained for
it. IN USE counts the servers and persistent containers that need an image. NOTES says "held" of
a name that a rollback went back with and that the timer leaves alone, "pinned" of one
with a digest, and of which name an image is a former one. The last line says what the
store takes and what is left.`,
		Example: `  sudo gifford-hub images list
  sudo gifford-hub images list --json | jq -r '.[].id'`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.keeper().Images(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, slices.Concat([]imagekeeper.Image{}, list)) // [] rather than null
			}
			disk, err := a.keeper().Disk(cmd.Context())
			if err != nil {
				return err
			}
			return writeImages(a.stdout, list, disk)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) imagesShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show an image: its layers, who uses it, and the former ones of its names",
		Long: `Shows all about the image of a name, or of the first 12 digits of an ID: digest, layers,
the servers that need it, the profiles that start with it, and the former images that its
names can be rolled back to.`,
		Example: `  sudo gifford-hub images show quay.io/jupyter/scipy-notebook:latest
  sudo gifford-hub images show 0123456789ab --json`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeImages(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.keeper().Image(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, d)
			}
			return writeImage(a.stdout, d)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) imagesPullCommand() *cobra.Command {
	var all, quiet bool
	cmd := &cobra.Command{
		Use:   "pull {NAME | --all}",
		Short: "Ask the registry for an image again",
		Long: `Asks the registry for an image and fetches the layers that the store lacks. Servers that run
stay on the image that they have; the next start takes the new one, and the old one is retained
as a former one. NAME must be one that the policy, launcher.toml(5), allows. With --all it
is every image that the policy's profiles pull, without those that a rollback holds.

On a terminal each layer has a line, redrawn as it comes; elsewhere there is a line when a
layer begins and one when it has come.`,
		Example: `  sudo gifford-hub images pull quay.io/jupyter/scipy-notebook:latest
  sudo gifford-hub images pull --all --quiet`,
		Args:              arguments(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeImages(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return &usageError{errors.New("a name or --all is needed, and not both"), cmd.CommandPath()}
			}
			name := ""
			if !all {
				name = args[0]
			}
			return a.follow(quiet, func(each func(imagekeeper.Progress)) error {
				return a.keeper().Pull(cmd.Context(),
					name, each)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every image that the policy's profiles pull and that is not held")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but what fails")
	return cmd
}

func (a *app) imagesImportCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "import NAME {FILE | -}",
		Short: "Put an image from an archive into the store",
		Long: `Puts an image from a file, or from standard input, into the store under NAME, which must be
one that the policy allows. It may be what "podman save" or "docker save" writes, an OCI
archive, or a tar of a root file system, plain or compressed. It is for hosts without a
way to a registry.`,
		Example: `  sudo gifford-hub images import localhost/lab/notebook:1 notebook.tar
  sudo gifford-hub images import localhost/lab/base:1 rootfs.tar.gz
  podman save localhost/lab/notebook:1 | sudo gifford-hub images import localhost/lab/notebook:1 -`,
		Args: arguments(cobra.ExactArgs(2)),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault // files
			}
			return a.completeImages(false)(cmd, args, begin)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			archive, err := openArchive(cmd, args[1])
			if err != nil {
				return err
			}
			defer func() { _ = archive.Close() }()
			return a.follow(quiet, func(each func(imagekeeper.Progress)) error {
				return a.keeper().Import(cmd.Context(), args[0], archive, each)
			})
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but what fails")
	return cmd
}

// openArchive opens the file to import, "-" being standard input.
func openArchive(cmd *cobra.Command, name string) (io.ReadCloser, error) {
	if name == "-" {
		if term.IsTerminal(int(os.Stdin.Fd())) {
			return nil, &usageError{errors.New("standard input is a terminal: an archive is needed there"),
				cmd.CommandPath()}
		}
		return io.NopCloser(os.Stdin), nil // never closed by the client, which reads it to its end or not
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, hint.With(fmt.Errorf("cannot read the archive: %w", err),
			"name a file that podman save has written, or - for standard input")
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		_ = f.Close()
		return nil, hint.With(fmt.Errorf("cannot import %s: it is a directory", name),
			"name a file that podman save has written, or - for standard input")
	}
	return f, nil
}

// follow prints the steps of something that takes time.
func (a *app) follow(quiet bool, work func(each func(imagekeeper.Progress)) error) error {
	if quiet {
		return work(func(imagekeeper.Progress) {})
	}
	show := newSteps(a.stdout)
	err := work(show.step)
	show.end()
	return err
}

func (a *app) imagesRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Take a name or an image out of the store",
		Long: `Takes a name, or by the first 12 digits of its ID an image with all its names, out of the
store. An image that a server or a persistent container needs is not removed: stop the server
first.`,
		Example: `  sudo gifford-hub images rm quay.io/jupyter/scipy-notebook:2026-01-05
  sudo gifford-hub images rm 0123456789ab`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeImages(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.keeper().Remove(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(a.stdout, "removed %s\n", args[0])
			return nil
		},
	}
}

func (a *app) imagesPruneCommand() *cobra.Command {
	var (
		req  imagekeeper.PruneRequest
		keep int
	)
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove the images that nobody needs",
		Long: `Removes the images that have no name, are not among the newest former ones of a name, and
that no server and no persistent container needs. The policy, launcher.toml(5), says how many
former ones of each name are retained.`,
		Example: `  sudo gifford-hub images prune --dry-run
  sudo gifford-hub images prune --keep-former 0`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("keep-former") {
				if keep < 0 {
					return &usageError{fmt.Errorf("--keep-former %d is below zero", keep), cmd.CommandPath()}
				}
				req.KeepFormer = &keep
			}
			pruned, err := a.keeper().Prune(cmd.Context(), req)
			if err != nil {
				return err
			}
			return writePruned(a.stdout, pruned, req.DryRun)
		},
	}
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what would be removed, and remove nothing")
	cmd.Flags().IntVar(&keep, "keep-former", 0, "former images to retain for each name (default: as the policy says)")
	return cmd
}

func (a *app) imagesRollbackCommand() *cobra.Command {
	var req imagekeeper.RollbackRequest
	cmd := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Give a name back to the image that had it before",
		Long: `Gives a name back to a former image, the newest one unless --to names another. The next
start takes it; servers that run stay as they are. The name is then held: the timer and
"images pull --all" leave it alone until "images pull NAME" asks for it again.`,
		Example: `  sudo gifford-hub images rollback quay.io/jupyter/scipy-notebook:latest
  sudo gifford-hub images rollback quay.io/jupyter/scipy-notebook:latest --to 0123456789ab`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeImages(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			i, err := a.keeper().Rollback(cmd.Context(), req)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(a.stdout, "%s is %s again, and held: \"gifford-hub images pull %s\" ends that\n",
				req.Name, shortID(i.ID), req.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&req.To, "to", "", "digest or first 12 digits of the ID of the former image (default: the "+
		"newest)")
	_ = cmd.RegisterFlagCompletionFunc("to", a.completeFormer) // fails only for a flag that is not there
	return cmd
}

// completion returns the shell the words that fit.
type completion = func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective)

// completeImages returns the shell the names of images, and where an ID does as well those
// of images without a name.
func (a *app) completeImages(ids bool) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var words []string
		if len(args) == 0 {
			for _, i := range a.known(cmd.Context()) {
				words = append(words, i.Names...)
				if ids && len(i.Names) == 0 {
					words = append(words, shortID(i.ID))
				}
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFormer returns the shell the IDs that a name can be rolled back to.
func (a *app) completeFormer(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	for _, i := range a.known(cmd.Context()) {
		if len(args) == 1 && slices.Contains(i.FormerOf, args[0]) {
			words = append(words, shortID(i.ID))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// known lists the images; a keeper that does not answer knows none.
func (a *app) known(ctx context.Context) []imagekeeper.Image {
	list, err := a.keeper().Images(ctx)
	if err != nil {
		return nil
	}
	return list
}
