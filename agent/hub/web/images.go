package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// imageKeeper owns the images that all servers share. Its errors for people are
// *imagekeeper.Error.
type imageKeeper interface {
	Images(ctx context.Context) ([]imagekeeper.Image, error)
	Disk(ctx context.Context) (imagekeeper.Disk, error)
	PullDetached(ctx context.Context, name string, each func(imagekeeper.Progress)) error
}

// keeperWait is how long a page waits for the image keeper.
const keeperWait = 5 * time.Second

// imagesBody is the page of images.
type imagesBody struct {
	Problem *imagekeeper.Failure // why there is nothing to show; nil when there is
	Rows    []imageRow
	Disk    diskView
}

// diskView is the disk use of the image store, for people.
type diskView struct {
	Path, Store, Free, Total string
	Low                      bool
}

// imageRow is an image under one of its names, or a former image of a name.
type imageRow struct {
	Name     string // "" for one without a name
	Of       string // the name that a former image had; may be empty
	Stored   bool   // in the store; otherwise a profile wants it
	Short    string // of the ID
	Digest   string
	Size     string
	Pulled   time.Time
	Profiles []string
	InUse    []string
	Held     bool
	Pinned   bool
	MayPull  bool
	Watch    string // URL path of the page of a pull that runs; "" for none
	Command  string // for root, on the host; may be empty
	Means    string // what Command does
}

// imagesPage is hub/admin/images. It is for administrators only, since it shows which image everybody's server runs.
func (s *Web) imagesPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Admin() {
		return errNotFound()
	}
	var body imagesBody
	body.Rows, body.Disk, body.Problem = s.imageRows(r.Context())
	status := http.StatusOK
	if body.Problem != nil {
		status = http.StatusServiceUnavailable
	}
	s.render(w, r, status, page{Name: "images", Title: "Images", Member: m, Wide: true, Body: body})
	return nil
}

// imageRows returns the image keeper's images, and those that profiles want and the store lacks.
func (s *Web) imageRows(ctx context.Context) ([]imageRow, diskView, *imagekeeper.Failure) {
	if s.cfg.Keeper == nil {
		return nil, diskView{}, &imagekeeper.Failure{Message: "this hub has no image keeper",
			Hint: "systemctl status gifford-images"}
	}
	ctx, cancel := context.WithTimeout(ctx, keeperWait)
	defer cancel()
	list, err := s.cfg.Keeper.Images(ctx)
	var disk imagekeeper.Disk
	if err == nil {
		disk, err = s.cfg.Keeper.Disk(ctx)
	}
	if err != nil {
		s.cfg.Log.Warn("cannot ask the image keeper", "event", "images-unreadable", "error", err.Error())
		return nil, diskView{}, &imagekeeper.Failure{Message: err.Error(), Hint: keeperHint(err)}
	}
	rows := s.missing(ctx, list)
	for _, i := range list {
		rows = append(rows, s.rowsOf(i)...)
	}
	sortImages(rows)
	return rows, diskView{disk.Path, size(disk.Store), size(disk.Free), size(disk.Total), disk.Low}, nil
}

// sortImages sorts by name; former images of a name follow it, the latest first.
func sortImages(rows []imageRow) {
	former := func(r imageRow) int { return min(1, len(r.Of)) }
	slices.SortStableFunc(rows, func(x, y imageRow) int {
		return cmp.Or(cmp.Compare(cmp.Or(x.Name, x.Of), cmp.Or(y.Name, y.Of)), former(x)-former(y),
			y.Pulled.Compare(x.Pulled))
	})
}

// rowsOf shows an image under each of its names, or once under a name that it had.
func (s *Web) rowsOf(i imagekeeper.Image) []imageRow {
	row := imageRow{Stored: true, Short: shortID(i.ID), Digest: i.Digest, Size: size(i.Size), Pulled: i.Pulled,
		Profiles: i.Profiles, InUse: i.InUse}
	var rows []imageRow
	for _, n := range i.Names {
		r := row
		r.Name, r.Held, r.Pinned = n, i.Held, strings.Contains(n, "@")
		r.MayPull, r.Watch = !r.Pinned && fromRegistry(n), s.watch(n)
		if len(i.InUse) == 0 {
			r.Command, r.Means = "sudo gifford-hub images rm "+n, "Remove it"
		}
		rows = append(rows, r)
	}
	if len(i.Names) > 0 {
		return rows
	}
	if len(i.FormerOf) > 0 {
		row.Of = i.FormerOf[0]
		row.Command, row.Means = "sudo gifford-hub images rollback "+row.Of+" --to "+row.Short, "Go back to it"
	}
	return []imageRow{row}
}

// missing returns the images that profiles would start with and the store lacks.
func (s *Web) missing(ctx context.Context, list []imagekeeper.Image) []imageRow {
	profiles, _ := s.profiles(ctx)
	byName := map[string]*imageRow{}
	for _, p := range profiles {
		if p.Image == "" || slices.ContainsFunc(list, func(i imagekeeper.Image) bool {
			return slices.Contains(i.Profiles, p.Name) || slices.Contains(i.Names, p.Image)
		}) {
			continue
		}
		if byName[p.Image] == nil {
			byName[p.Image] = &imageRow{Name: p.Image, Pinned: strings.Contains(p.Image, "@"),
				MayPull: fromRegistry(p.Image), Watch: s.watch(p.Image)}
		}
		byName[p.Image].Profiles = append(byName[p.Image].Profiles, p.Name)
	}
	var rows []imageRow
	for _, r := range byName {
		rows = append(rows, *r)
	}
	return rows
}

// fromRegistry reports whether an image can be pulled: Podman's own localhost is no registry.
func fromRegistry(name string) bool { return !strings.HasPrefix(name, "localhost/") }

// watch is the URL path of the page of a name's pull, "" when none runs.
func (s *Web) watch(name string) string {
	if p, ok := s.pulls.of(name); ok {
		if v, _ := p.now(); !v.Over {
			return s.pullURL(name)
		}
	}
	return ""
}

func (s *Web) pullURL(name string) string {
	return s.hub + "admin/images/pull?" + url.Values{"name": {name}}.Encode()
}

// keeperHint is the next step of an error of the image keeper; may be empty.
func keeperHint(err error) string {
	var e *imagekeeper.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// shortID is the beginning of an ID or digest, for people.
func shortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return id[:min(12, len(id))]
}
