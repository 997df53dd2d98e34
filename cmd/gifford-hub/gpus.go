package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

func (a *app) gpusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "gpus",
		Short: "Show the host's GPUs, their use, and which servers hold them",
		Long: `Shows each device of the host's CDI specifications: how much of its time and memory is in use
now, on average over the last hour and at most in that hour, to how many servers it is lent at
a time, and which hold it since when. Below stand lines for what is wrong: a device that is
not lent, processes on a device outside the servers that hold it, specifications that cannot
be used, and a vendor's tool that does not answer. Only root may do it.`,
		Example: `  sudo gifford-hub gpus
  sudo gifford-hub gpus --json | jq -r '.devices[] | select(.holders == []).name'`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := a.hub().GPUs(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, g)
			}
			return writeGPUs(a.stdout, g, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeGPUs prints the devices, and then what is wrong.
func writeGPUs(w io.Writer, g control.GPUs, now time.Time) error {
	if len(g.Devices) == 0 {
		_, _ = fmt.Fprintln(w, "This host has no GPUs that servers could hold: no CDI specification in /etc/cdi or "+
			"/var/run/cdi names one.")
	} else {
		tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(tw, "DEVICE\tMODEL\tMEMORY\tNOW\tLAST HOUR\tAT MOST\tLENT TO\tHELD BY")
		for _, d := range g.Devices {
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, orDash(d.Model), memory(d.Memory),
				gpuLoad(d.Now), gpuLoad(d.Hour), gpuLoad(d.Busiest), d.Lent, holders(d.Holders, now))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	for _, line := range gpuTroubles(g) {
		_, _ = fmt.Fprintln(w, line)
	}
	return nil
}

func memory(bytes uint64) string {
	if bytes == 0 {
		return "-"
	}
	return gpus.Size(bytes)
}

func gpuLoad(l *control.GPULoad) string {
	if l == nil {
		return "-"
	}
	return fmt.Sprintf("%d%%, %s", gpus.Whole(l.Busy), gpus.Size(l.Memory))
}

func holders(all []control.GPUHolder, now time.Time) string {
	var names []string
	for _, h := range all {
		names = append(names, fmt.Sprintf("%s (%s, for %s)", ident.Key{User: h.User, Server: h.Server},
			orDash(h.Profile), age(now.Sub(h.Since))))
	}
	return orDash(strings.Join(names, ", "))
}

// gpuTroubles returns a line for each thing that is wrong.
func gpuTroubles(g control.GPUs) []string {
	var lines []string
	for _, d := range g.Devices {
		if d.Health != "" {
			lines = append(lines, fmt.Sprintf("%s: %s; it is not lent while this is so", d.Name, d.Health))
		}
		for _, p := range d.Strangers {
			lines = append(lines, fmt.Sprintf("%s: process %d (%s) of %s%s uses it outside the servers that hold "+
				"it; look: ps -fp %d; end it: sudo kill %d",
				d.Name, p.PID, orDash(p.Command), p.User, takes(p.Memory), p.PID, p.PID))
		}
	}
	for _, b := range g.Broken {
		lines = append(lines, fmt.Sprintf("%s: this CDI specification cannot be used: %s", b.File, b.Error))
	}
	if g.ToolError != "" {
		lines = append(lines, "not all models, memory and use are known: "+g.ToolError)
	}
	return lines
}

func takes(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	return " takes " + gpus.Size(bytes) + " and"
}
