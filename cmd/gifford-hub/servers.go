package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

func (a *app) serversCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "servers",
		Short: "List, start, stop and reset members' servers, read their logs, open a shell in one",
		Long: `Lists, starts, stops and resets members' servers through the running hub, reads their logs
from the journal, and opens a shell in one. Only root may do it.`,
		Example: `  sudo gifford-hub servers list
  sudo gifford-hub servers logs alice`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listCommand(), a.startCommand(), a.stopCommand(), a.logsCommand(), a.shellCommand(),
		a.resetCommand())
	return cmd
}

// parseServer takes "alice", or "alice:name" for a named server.
func parseServer(cmd *cobra.Command, arg string) (ident.Key, error) {
	user, server, _ := strings.Cut(arg, ":")
	k, err := ident.ParseKey(user, server)
	if err != nil {
		return k, &usageError{err, cmd.CommandPath()}
	}
	return k, nil
}

func (a *app) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the servers that are not stopped",
		Long: `Lists the servers that start, run, stop or have failed: whose they are, since when they are
in that state, whether their image is the current one of their profile or an older one, and
when somebody last did something in them.`,
		Example: `  sudo gifford-hub servers list
  sudo gifford-hub servers list --json | jq -r '.[].user'`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.hub().Servers(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, list)
			}
			return writeServers(a.stdout, list, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func writeServers(w io.Writer, list []control.Server, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "SERVER\tSTATE\tFOR\tPROFILE\tIMAGE\tLAST ACTIVITY\tURL")
	for _, s := range list {
		activity := "-"
		if !s.LastActivity.IsZero() {
			activity = age(now.Sub(s.LastActivity)) + " ago"
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", ident.Key{User: s.User, Server: s.Server}, s.State,
			age(now.Sub(s.Since)), orDash(s.Profile), orDash(s.Image), activity, s.URL)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, s := range list {
		if s.Outdated {
			k := ident.Key{User: s.User, Server: s.Server}
			_, _ = fmt.Fprintf(w, "%s: settings of profile %s changed since this container was made; they count "+
				"after: gifford-hub servers reset --stop %s\n", k, s.Profile, k)
		}
	}
	return nil
}

// age is a duration as people say it.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (a *app) startCommand() *cobra.Command {
	var (
		profile string
		without bool
	)
	cmd := &cobra.Command{
		Use:   "start USER",
		Short: "Start a member's server and wait until it is ready",
		Long: `Starts a member's server as the hub would for them, prints each step, and ends when the
server is ready or has failed. Where others hold the GPUs that the profile needs, it waits
in the line with everybody else; an interrupted command leaves the server there.`,
		Example: `  sudo gifford-hub servers start alice
  sudo gifford-hub servers start alice --profile jupyterlab
  sudo gifford-hub servers start alice --profile gpu --without-gpus`,
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := parseServer(cmd, args[0])
			if err != nil {
				return err
			}
			return a.hub().Start(cmd.Context(), control.StartRequest{User: k.User, Server: k.Server, Profile: profile,
				WithoutGPUs: without},
				func(p control.Progress) {
					if !p.Failed {
						_, _ = fmt.Fprintf(a.stdout, "%3d%% %s\n", p.Progress, p.Message)
					}
				})
		},
	}
	cmd.Flags().BoolVar(&without, "without-gpus", false, "start it with none of the GPUs that the profile would get")
	cmd.Flags().StringVar(&profile, "profile", "", "the policy's profile to start (default: the policy's default)")
	return cmd
}

func (a *app) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop USER...",
		Short: "Stop members' servers and wait until they are gone",
		Long: `Stops members' servers, one after the other, and ends when their units are gone. Running
kernels end; files stay.`,
		Example:           `  sudo gifford-hub servers stop alice`,
		Args:              arguments(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys := make([]ident.Key, len(args))
			for i, arg := range args {
				k, err := parseServer(cmd, arg)
				if err != nil {
					return err
				}
				keys[i] = k
			}
			return a.stopAll(cmd.Context(), keys)
		},
	}
}

// stopAll ends at the first failure, so that the operator sees which one it was.
func (a *app) stopAll(ctx context.Context, keys []ident.Key) error {
	for _, k := range keys {
		if err := a.hub().Stop(ctx, control.StopRequest{User: k.User, Server: k.Server}); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(a.stdout, "stopped %s\n", k)
	}
	return nil
}

// completeServers returns the shell the names of servers that run.
func (a *app) completeServers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := a.hub().Servers(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range list {
		names = append(names, ident.Key{User: s.User, Server: s.Server}.String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
