package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the running hub's database to a file",
		Long: `Writes a consistent copy of the hub's database (users, sessions, tokens, groups, shares) to a new
file of mode 0600 while the hub runs. To put it back: stop the hub, copy the file to
/var/lib/gifford-hub/hub.sqlite as the user gifford-hub, remove hub.sqlite-wal and -shm, and
start the hub. Notebooks run on meanwhile. Only root may do it.`,
		Example: `  sudo gifford-hub backup /root/hub-$(date +%F).sqlite`,
		Args:    arguments(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.backup(cmd, args[0]) },
	}
}

func (a *app) backup(cmd *cobra.Command, path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make the back-up: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path) // a part of a database is none
		}
	}()
	if err := a.hub().Backup(cmd.Context(), f); err != nil {
		return err
	}
	return f.Sync()
}

func (a *app) tokenCommand() *cobra.Command {
	var note, scopes string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "token USER",
		Short: "Make an API token for a user",
		Long: `Makes a token with which a program acts as a user, and prints it this once. Without --scopes it may
do all that the user may do. The user must have signed in once. Only root may do it.`,
		Example: `  sudo gifford-hub token alice --note backup --scopes "read:servers!user list:users" --expires 720h`,
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := ident.ParseUser(args[0])
			if err != nil {
				return &usageError{err, cmd.CommandPath()}
			}
			req := control.TokenRequest{User: u, Note: note, Scopes: strings.Fields(scopes)}
			if len(req.Scopes) == 0 {
				req.Scopes = nil
			}
			if cmd.Flags().Changed("expires") {
				seconds := int64(expires.Seconds())
				req.Seconds = &seconds
			}
			t, err := a.hub().Token(cmd.Context(), req)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, t.Token)
			return err
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "what it is for, as the list of tokens shows it")
	cmd.Flags().StringVar(&scopes, "scopes", "", "what it may do, separated by spaces (default: all that the user "+
		"may do)")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is good (default: as the settings say)")
	return cmd
}
