package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/settings"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Exit statuses, as gifford-hub(1) says.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what every command uses.
type app struct {
	stdout, stderr io.Writer
	lookup         func(string) (string, bool) // the environment
	configFile     string                      // --config
	socket         string                      // --socket
	imagesSocket   string                      // --images-socket
}

// load reads the hub's settings.
func (a *app) load() (*config.Config, error) {
	c, err := config.Load(config.Host(a.configFile, a.lookup))
	var problems settings.Problems
	if errors.As(err, &problems) {
		return nil, hint.With(err, "man gifford-hub.toml; then: gifford-hub config validate")
	}
	return c, err
}

func (a *app) hub() *control.Client { return control.New(a.socket) }

// usageError is a command line that cannot be understood.
type usageError struct {
	err     error
	command string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// NextStep returns the command that explains the command line.
func (e *usageError) NextStep() string { return e.command + " --help" }

// silent is a failure that the command has printed already.
type silent struct{ status int }

func (e *silent) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// execute runs one command line and returns the exit status.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var done *silent
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &done):
		return done.status
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintln(a.stderr, "gifford-hub: "+line)
	}
	if step := hint.Of(err); step != "" {
		_, _ = fmt.Fprintln(a.stderr, "hint: "+step)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gifford-hub",
		Short: "Jupyter servers for a lab, as systemd units",
		Long: `gifford-hub gives every member of a lab a Jupyter server of their own: a systemd unit
that runs rootless Podman as that member. systemd starts the hub itself with
"gifford-hub serve"; the other commands are for the host's administrator.`,
		Example: `  gifford-hub check
  gifford-hub servers list`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{err, cmd.CommandPath()} })
	root.SetVersionTemplate("gifford-hub {{.Version}}\n")
	root.PersistentFlags().StringVar(&a.configFile, "config", config.DefaultFile,
		"the hub's settings; hub.d and secrets are read beside it")
	root.PersistentFlags().StringVar(&a.socket, "socket", control.DefaultSocket, "the running hub's control socket")
	root.PersistentFlags().StringVar(&a.imagesSocket, "images-socket", imagekeeper.DefaultSocket,
		"the image keeper's control socket")
	root.AddCommand(a.serveCommand(), a.checkCommand(), a.configCommand(), a.serversCommand(), a.imagesCommand(),
		a.servicesCommand(),
		a.reloadCommand(), a.statusCommand(), a.backupCommand(), a.diskCommand(), a.usageCommand(), a.gpusCommand(),
		a.identitiesCommand(),
		a.tokenCommand(), a.versionCommand(), a.docsCommand())
	return root
}

// noCommand is for commands that only have commands below them.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // two wrong letters
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return &usageError{errors.New(text), cmd.CommandPath()}
}

// arguments makes an error of a check of arguments one of usage.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err, cmd.CommandPath()}
		}
		return nil
	}
}

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the hub (systemd does this)",
		Long: `Runs the hub on the sockets that systemd passes. gifford-hub.service calls it; started by
hand it has no sockets and ends with an error.`,
		Example: `  systemctl start gifford-hub`,
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			return hub.Run(cmd.Context(), cfg, version)
		},
	}
}
