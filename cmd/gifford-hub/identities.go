package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

func (a *app) identitiesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identities",
		Short: "Show and change to which account of the sign-in server a user's name belongs",
		Long: `Each user's name belongs to the account of the sign-in server that signed in under it first.
Another account is refused under that name, and the account is refused under another name: a sign-in
server may give a name that somebody has left to another person. Where that is wanted, root forgets
the account, and the next one that signs in under the name has it.`,
		Example: `  sudo gifford-hub identities list
  sudo gifford-hub identities forget bob`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.identitiesListCommand(), a.forgetCommand())
	return cmd
}

func (a *app) identitiesListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the users' names and their accounts of the sign-in server",
		Long: `Lists the users' names with the issuer and the subject of the account that each belongs to, and the
time of its first sign-in. Only root may do it.`,
		Example: `  sudo gifford-hub identities list --json`,
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.hub().Identities(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, all)
			}
			tw := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			_, _ = fmt.Fprintln(tw, "USER\tSINCE\tISSUER\tSUBJECT")
			for _, i := range all {
				_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", i.User, i.Bound.Local().Format("2006-01-02 15:04"),
					printable.Line(i.Issuer, 100), printable.Line(i.Subject, 100))
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) forgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget USER",
		Short: "Let the next account that signs in under a user's name have it",
		Long: `Forgets to which account of the sign-in server a user's name belongs, and ends the user's sessions.
The next account that signs in under that name has it from then on, with the user's Unix account, files
and tokens: make sure that it is the right person. Only root may do it.`,
		Example:           `  sudo gifford-hub identities forget bob`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			user, err := ident.ParseUser(args[0])
			if err != nil {
				return &usageError{err, cmd.CommandPath()}
			}
			if err := a.hub().ForgetIdentity(cmd.Context(), user); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "the next account that signs in as %s has the name\n", user)
			return err
		},
	}
}
