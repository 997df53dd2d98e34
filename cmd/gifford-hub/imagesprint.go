package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// shortID is as much of an ID as people read, and as Podman prints.
func shortID(id string) string { return id[:min(12, len(id))] }

func size(n int64) string { return disk.Size(n) }

func pulled(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return age(time.Since(at)) + " ago"
}

// imageRow is a line of the table: a name of an image, or an image without one.
type imageRow struct {
	sort string // the name that it stands with
	name string
	imagekeeper.Image
}

// imageRows puts the former images of a name below it, the newest first.
func imageRows(list []imagekeeper.Image) []imageRow {
	var rows []imageRow
	for _, i := range list {
		for _, n := range i.Names {
			rows = append(rows, imageRow{n, n, i})
		}
		if len(i.Names) == 0 {
			rows = append(rows, imageRow{strings.Join(i.FormerOf[:min(1, len(i.FormerOf))], ""), "", i})
		}
	}
	slices.SortStableFunc(rows, func(x, y imageRow) int {
		named := func(r imageRow) int { return len(r.name[:min(1, len(r.name))]) }
		return cmp.Or(cmp.Compare(x.sort, y.sort), cmp.Compare(named(y), named(x)), y.Pulled.Compare(x.Pulled))
	})
	return rows
}

// notes is what is special about an image under a name.
func (r imageRow) notes() string {
	var all []string
	if r.Held && r.name != "" {
		all = append(all, "held")
	}
	if strings.Contains(r.name, "@") {
		all = append(all, "pinned")
	}
	if len(r.FormerOf) > 0 {
		all = append(all, "former of "+strings.Join(r.FormerOf, ", "))
	}
	return orDash(strings.Join(all, "; "))
}

func writeImages(w io.Writer, list []imagekeeper.Image, store imagekeeper.Disk) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "NAME\tID\tSIZE\tPULLED\tIN USE\tNOTES")
	for _, r := range imageRows(list) {
		used := "-"
		if n := len(r.InUse); n > 0 {
			used = fmt.Sprint(n)
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", orDash(r.name), shortID(r.ID), size(r.Size),
			pulled(r.Pulled), used, r.notes())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	low := ""
	if store.Low {
		low = ", which is LOW: gifford-hub images prune"
	}
	_, err := fmt.Fprintf(w, "%s in %s, %s of %s free%s\n", size(store.Store), store.Path, size(store.Free),
		size(store.Total), low)
	return err
}

func writeImage(w io.Writer, d imagekeeper.Detail) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(what, value string) { _, _ = fmt.Fprintf(tw, "%s\t%s\n", what, orDash(value)) }
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format(time.DateTime)
	}
	line("id", d.ID)
	line("names", strings.Join(d.Names, ", "))
	line("digest", d.Digest)
	line("size", size(d.Size))
	line("built", stamp(d.Created))
	line("pulled", stamp(d.Pulled))
	line("profiles", strings.Join(d.Profiles, ", "))
	line("in use by", strings.Join(d.InUse, ", "))
	if len(d.FormerOf) > 0 {
		line("former of", strings.Join(d.FormerOf, ", "))
	}
	if d.Held {
		line("held", "yes: images pull --all and the timer leave its names alone")
	}
	line("user", d.User)
	line("command", strings.Join(d.Command, " "))
	for _, k := range sortedKeys(d.Labels) {
		line("label", k+"="+d.Labels[k])
	}
	for _, n := range sortedKeys(d.Former) {
		for _, f := range d.Former[n] {
			line("former", strings.TrimSpace(n+" "+shortID(f.ID)+" "+f.Digest)+", pulled "+pulled(f.Pulled))
		}
	}
	for _, l := range d.Layers {
		line("layer", l.Digest+" "+size(l.Size))
	}
	return tw.Flush()
}

// sortedKeys returns the keys of a map in the order in which they are printed.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func writePruned(w io.Writer, p imagekeeper.Pruned, dry bool) error {
	what, freed := "removed", "freed"
	if dry {
		what, freed = "would remove", "would free"
	}
	for _, r := range imageRows(p.Images) {
		_, _ = fmt.Fprintf(w, "%s %s  %s  %s\n", what, shortID(r.ID), size(r.Size), r.notes())
	}
	_, err := fmt.Fprintf(w, "%s %s\n", freed, size(p.Freed))
	return err
}
