package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Let the running hub change to the installed version and settings",
		Long: `Starts the installed binary with the settings on disk beside the running hub and hands the
sockets over. The old process goes on serving the WebSockets that are open in it, for at
most http.drain_timeout. When the new process cannot start, the old one stays and the
reason is printed. "systemctl reload gifford-hub" does the same. Only root may do it.`,
		Example: `  sudo gifford-hub config validate && sudo systemctl reload gifford-hub`,
		Args:    arguments(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.hub().Reload(cmd.Context()) },
	}
}

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running hub's version, listeners and number of servers",
		Long: `Shows what the running hub says of itself: its version, process, listeners, how many
servers it has and how many older processes still serve open WebSockets. Only root may do it.`,
		Example: `  sudo gifford-hub status --json`,
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.hub().Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, s)
			}
			return writeStatus(a.stdout, s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func writeStatus(w io.Writer, s control.Status) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(tw, "version\t%s\nprocess\t%d, up %s\nservers\t%d\n", s.Version, s.PID,
		time.Duration(s.Uptime)*time.Second, s.Servers)
	for _, l := range s.Listeners {
		_, _ = fmt.Fprintf(tw, "listens\t%s (%s)\n", l.Address, l.Name)
	}
	if s.Draining > 0 {
		_, _ = fmt.Fprintf(tw, "draining\t%d older\n", s.Draining)
	}
	return tw.Flush()
}

// writeJSON prints a value for programs.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
