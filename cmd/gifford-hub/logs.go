package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func (a *app) logsCommand() *cobra.Command {
	var (
		follow bool
		lines  int
	)
	cmd := &cobra.Command{
		Use:   "logs USER",
		Short: "Show the log of a member's server",
		Long: `Shows the log of a member's server with journalctl, also of one that has ended. It needs
no running hub.`,
		Example: `  sudo gifford-hub servers logs alice
  sudo gifford-hub servers logs alice --follow -n 20
  journalctl -u jupyter-alice --since today`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := parseServer(cmd, args[0])
			if err != nil {
				return err
			}
			return a.journal(cmd, journalArgs(k, follow, lines))
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new lines until interrupted")
	cmd.Flags().IntVarP(&lines, "lines", "n", 0, "show only the last lines (0: all, or 10 with --follow)")
	return cmd
}

func journalArgs(k ident.Key, follow bool, lines int) []string {
	args := []string{"--no-pager", "--unit=" + k.Unit()}
	if lines > 0 {
		args = append(args, "--lines="+strconv.Itoa(lines))
	}
	if follow {
		args = append(args, "--follow")
	}
	return args
}

// journal passes journalctl's output and exit status on.
func (a *app) journal(cmd *cobra.Command, args []string) error {
	journalctl := exec.CommandContext(cmd.Context(), "journalctl", args...)
	journalctl.Stdout, journalctl.Stderr = a.stdout, a.stderr
	journalctl.Cancel = func() error { return journalctl.Process.Signal(os.Interrupt) }
	err := journalctl.Run()
	var exit *exec.ExitError
	switch {
	case cmd.Context().Err() != nil:
		return nil // interrupted by the operator, as --follow always is
	case errors.As(err, &exit):
		return &silent{exit.ExitCode()}
	case err != nil:
		return hint.With(err, "journalctl belongs to systemd, which the hub needs")
	}
	return nil
}
