package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

func (a *app) diskCommand() *cobra.Command {
	var asJSON bool
	var refresh []string
	cmd := &cobra.Command{
		Use:   "disk",
		Short: "Show what members' files take and what is free",
		Long: `Shows how much is free on the file systems with members' homes and containers, and what each
member's home and containers took when they were last measured. Each member is measured as that
member, at the lowest priority, as often as disk.refresh says. Numbers count blocks on disk;
a "+" stands behind what could not be read as a whole. Only root may do it.`,
		Example: `  sudo gifford-hub disk
  sudo gifford-hub disk --refresh alice
  sudo gifford-hub disk --json | jq '.users | max_by(.home.bytes)'`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			users, err := usersNamed(refresh)
			if err != nil {
				return &usageError{err, cmd.CommandPath()}
			}
			report, err := a.diskReport(cmd.Context(), users)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, report)
			}
			return writeDisk(a.stdout, report, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringSliceVar(&refresh, "refresh", nil, "measure these users' files first, and wait (alice,bob)")
	return cmd
}

// diskReport is what the hub and the image keeper say.
type diskReport struct {
	control.Disk
	Images *imagekeeper.Disk `json:"images,omitempty"` // nil when the keeper does not answer
}

func usersNamed(names []string) (users []ident.User, err error) {
	for _, name := range names {
		u, err := ident.ParseUser(name)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// diskReport has the files of users measured first, and then asks hub and image keeper.
func (a *app) diskReport(ctx context.Context, measure []ident.User) (diskReport, error) {
	for _, u := range measure {
		if _, err := a.hub().MeasureDisk(ctx, control.DiskRequest{User: u}); err != nil {
			return diskReport{}, err
		}
	}
	d, err := a.hub().Disk(ctx)
	if err != nil {
		return diskReport{}, err
	}
	images, err := a.keeper().Disk(ctx)
	if errors.Is(err, imagekeeper.ErrUnreachable) {
		return diskReport{Disk: d}, nil
	}
	return diskReport{Disk: d, Images: &images}, err
}

// writeDisk prints the file systems, and then what is on them.
func writeDisk(w io.Writer, d diskReport, now time.Time) error {
	if err := writeFileSystems(w, d.FileSystems); err != nil {
		return err
	}
	if i := d.Images; i != nil {
		low := ""
		if i.Low {
			low = ", LOW: nothing is pulled"
		}
		_, _ = fmt.Fprintf(w, "\nShared images take %s in %s; %s are free for more%s.\n", disk.Size(i.Store), i.Path,
			disk.Size(i.Free), low)
	}
	return writeDiskUsers(w, d.Users, now)
}

func writeFileSystems(w io.Writer, all []control.FileSystem) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "FILE SYSTEM OF\tFREE\tSIZE\t")
	for _, f := range all {
		low := ""
		if f.Low {
			low = "LOW"
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", f.Path, disk.Size(f.Free), disk.Size(f.Total), low)
	}
	return tw.Flush()
}

func writeDiskUsers(w io.Writer, all []control.DiskUser, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "\nUSER\tHOME\tCONTAINERS\tMEASURED")
	for _, u := range all {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s ago\n", u.User, treeSize(u.Home), treeSize(u.Storage),
			age(now.Sub(u.Measured)))
	}
	return tw.Flush()
}

func treeSize(t control.DiskTree) string {
	if t.Unread > 0 {
		return disk.Size(t.Bytes) + "+"
	}
	return disk.Size(t.Bytes)
}
