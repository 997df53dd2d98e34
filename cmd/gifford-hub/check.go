package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hub/check"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func (a *app) checkCommand() *cobra.Command {
	var (
		asJSON bool
		name   string
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Test whether this host can do what the hub needs",
		Long: `Tests the host, the settings, the certificate and the provider, and prints for each failure
the command that fixes it. Nothing is changed. As root it tests more; what it could not
test it says. The exit status is 0 when nothing fails, warnings or not, and 1 otherwise.`,
		Example: `  sudo gifford-hub check
  sudo gifford-hub check --user alice
  sudo gifford-hub check --json | jq '.[] | select(.level == "fail")'`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var user ident.User
			if name != "" {
				u, err := ident.ParseUser(name)
				if err != nil {
					return &usageError{err, cmd.CommandPath()}
				}
				user = u
			}
			cfg, done := a.checkConfig(user)
			defer done()
			return a.report(check.Run(cmd.Context(), cfg), asJSON)
		},
	}
	cmd.Flags().StringVar(&name, "user", "", "test what a server for this member needs, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// report prints the findings and fails when one of them does.
func (a *app) report(results []check.Result, asJSON bool) error {
	var err error
	if asJSON {
		err = writeJSON(a.stdout, results)
	} else {
		err = writeFindings(a.stdout, results)
	}
	if err == nil && check.Failed(results) {
		return &silent{exitFailed}
	}
	return err
}

func writeFindings(w io.Writer, results []check.Result) error {
	var out strings.Builder
	count := map[check.Level]int{}
	for _, r := range results {
		count[r.Level]++
		fmt.Fprintf(&out, "%-8s %-16s %s\n", r.Level, r.Check, r.What)
		if r.Level == check.OK {
			continue
		}
		fmt.Fprintf(&out, "%25s why:  %s\n", "", r.Why)
		if r.Remedy != "" {
			fmt.Fprintf(&out, "%25s fix: %s\n", "", r.Remedy)
		}
	}
	fmt.Fprintf(&out, "\n%d ok, %d warnings, %d failures, %d not tested\n",
		count[check.OK], count[check.Warn], count[check.Fail], count[check.Unknown])
	_, err := io.WriteString(w, out.String())
	return err
}
