package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

func (a *app) resetCommand() *cobra.Command {
	var (
		stop   bool
		server string
	)
	cmd := &cobra.Command{
		Use:   "reset USER",
		Short: "Remove the container of a persistent server",
		Long: `Removes the persistent containers of a member's server, with all that
was installed or changed in them. The next start makes a fresh one, of the newest image and the
profile's present settings. HOME and /cluster are not in the container and stay as they are.`,
		Example: `  sudo gifford-hub servers reset alice
  sudo gifford-hub servers reset --stop alice --server gpu`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := serverOf(cmd, args[0], server)
			if err != nil {
				return err
			}
			if err := a.hub().Reset(cmd.Context(), control.ResetRequest{User: k.User, Server: k.Server,
				Stop: stop}); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(a.stdout, "reset %s\n", k)
			return nil
		},
	}
	cmd.Flags().BoolVar(&stop, "stop", false, "stop the server first if it runs")
	cmd.Flags().StringVar(&server, "server", "", "the member's server of that `name` (default: the one without a name)")
	return cmd
}
