package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Read the hub's settings",
		Long:    `Reads the settings in /etc/gifford-hub/hub.toml and hub.d, which gifford-hub.toml(5) describes.`,
		Example: `  sudo gifford-hub config validate`,
		Args:    noCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.validateCommand())
	return cmd
}

func (a *app) validateCommand() *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Say whether the settings can be used, and what they come to",
		Long: `Reads hub.toml, the files of hub.d in the order of their names, and the secrets, and prints
every problem with its file and line. It asks neither the provider nor the host; that does
"gifford-hub check". Secrets are never printed.`,
		Example: `  sudo gifford-hub config validate
  sudo gifford-hub config validate --show`,
		Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if show {
				return cfg.Show(a.stdout)
			}
			_, err = fmt.Fprintln(a.stdout, "the settings can be used")
			return err
		},
	}
	cmd.Flags().BoolVar(&show, "show", false, "print all settings in force, and where each comes from")
	return cmd
}
