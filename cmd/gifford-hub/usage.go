package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hub/accounting"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// everyMonth is the value of --month for all of them.
const everyMonth = "all"

// usageOptions is what the command line asks for.
type usageOptions struct {
	asJSON, asCSV bool
	month, user   string
}

func (a *app) usageCommand() *cobra.Command {
	var o usageOptions
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Show what users used in a month: GPU, processor and memory hours",
		Long: `Shows by user what servers used in a calendar month (UTC), this month unless --month says
otherwise. GPU hours count the time in which a server held a device, used or not: one for several
servers counts by its places, one that is open to all does not count. CPU hours are time of
processors in use, memory hours GiB in use, server hours the time in which servers ran. A deleted
user's hours stay under the name. Only root may do it.`,
		Example: `  sudo gifford-hub usage
  sudo gifford-hub usage --month 2026-11 --user alice
  sudo gifford-hub usage --month all --csv >usage.csv`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			month, user, err := o.query(time.Now())
			if err != nil {
				return &usageError{err, cmd.CommandPath()}
			}
			all, err := a.hub().Usage(cmd.Context(), month, user)
			if err != nil {
				return err
			}
			return o.print(a.stdout, all)
		},
	}
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&o.asCSV, "csv", false, "print CSV")
	cmd.Flags().StringVar(&o.month, "month", "", "the month, such as 2026-11, or all (default this month)")
	cmd.Flags().StringVar(&o.user, "user", "", "this user alone")
	return cmd
}

// query returns the month and the user that are asked for, both zero for all, or what is wrong with the command line.
func (o usageOptions) query(now time.Time) (month string, user ident.User, err error) {
	if month, err = wantedMonth(o.month, now); err != nil {
		return "", ident.User{}, err
	}
	if o.user != "" {
		if user, err = ident.ParseUser(o.user); err != nil {
			return "", ident.User{}, err
		}
	}
	if o.asJSON && o.asCSV {
		return "", ident.User{}, errors.New("--json and --csv exclude each other")
	}
	return month, user, nil
}

func (o usageOptions) print(w io.Writer, all []control.Usage) error {
	if o.asJSON {
		return writeJSON(w, all)
	}
	hours := make([]accounting.Hours, 0, len(all))
	for _, v := range all {
		hours = append(hours, accounting.Hours(v))
	}
	if o.asCSV {
		return accounting.WriteCSV(w, hours)
	}
	return writeUsage(w, hours)
}

// wantedMonth returns the month that is asked for; "" for all.
func wantedMonth(flag string, now time.Time) (string, error) {
	switch flag {
	case "":
		return now.UTC().Format(accounting.MonthForm), nil
	case everyMonth:
		return "", nil
	}
	if _, err := time.Parse(accounting.MonthForm, flag); err != nil {
		return "", fmt.Errorf("--month %q is no month such as 2026-11, and not %q", flag, everyMonth)
	}
	return flag, nil
}

// writeUsage prints a table, and the sum where there is more than one line.
func writeUsage(w io.Writer, all []accounting.Hours) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was used.")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "MONTH\tUSER\tGPU HOURS\tCPU HOURS\tMEMORY GIB HOURS\tSERVER HOURS")
	line := func(month, user string, h accounting.Hours) {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%9.1f\t%9.1f\t%16.1f\t%12.1f\n", month, user, h.GPU, h.CPU, h.Memory, h.Server)
	}
	for _, h := range all {
		line(h.Month, h.User, h)
	}
	if len(all) > 1 {
		line("", "TOTAL", accounting.Total(all))
	}
	return tw.Flush()
}
