package web

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Names of the images of the tests' keeper.
const (
	latest    = "quay.io/lab/notebook:latest"
	unpulled  = "quay.io/lab/gpu:latest"
	pinnedOne = "quay.io/lab/course@sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// fakeImages has a few images, and pulls for as long as a test wants.
type fakeImages struct {
	err    error
	pulled []string
	steps  chan imagekeeper.Progress // each is a step; closed at the end
	fails  error                     // what a pull ends with
}

func (f *fakeImages) Images(context.Context) ([]imagekeeper.Image, error) {
	return []imagekeeper.Image{
		{ID: strings.Repeat("f", 64), FormerOf: []string{latest}, Size: 4e9, Pulled: now.Add(-48 * time.Hour),
			InUse: []string{"jupyter-alice.service"}},
		{ID: strings.Repeat("c", 64), Names: []string{latest}, Digest: "sha256:" + strings.Repeat("1", 64), Size: 5e9,
			Pulled: now.Add(-time.Hour), Profiles: []string{"jupyterlab"}, Held: true},
		{ID: strings.Repeat("d", 64), Names: []string{pinnedOne}, Size: 1e6},
		{ID: strings.Repeat("e", 64), Names: []string{"localhost/lab/" + hostileName}},
		{ID: strings.Repeat("0", 64)},
	}, f.err
}

func (f *fakeImages) Disk(context.Context) (imagekeeper.Disk, error) {
	return imagekeeper.Disk{Path: "/var/lib/gifford-images/storage", Store: 9e9, Free: 1e9, Total: 100e9, Low: true},
		nil
}

func (f *fakeImages) PullDetached(_ context.Context, name string, each func(imagekeeper.Progress)) error {
	f.pulled = append(f.pulled, name)
	for p := range f.steps {
		each(p)
	}
	return f.fails
}

// newImages is a hub with a keeper; the profile gpu has an image that is not there yet.
func newImages(t testing.TB, keeper *fakeImages) *hub {
	t.Helper()
	if keeper.steps == nil {
		keeper.steps = make(chan imagekeeper.Progress)
		close(keeper.steps)
	}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	return newHub(t, func(c *setup) {
		c.Keeper, c.NamedServers = keeper, 2
		c.Background = func(work func(context.Context)) { running.Go(func() { work(context.Background()) }) }
		c.Profiles = func(context.Context) ([]backend.Profile, error) {
			return []backend.Profile{{Name: "jupyterlab", Image: latest, Default: true},
				{Name: "gpu", Image: unpulled}}, nil
		}
	})
}

// TestImagesPage checks what stands in each row: former images below their name, a button
// where there is something to pull, and a command where root may do something.
func TestImagesPage(t *testing.T) {
	p := show(t, newImages(t, &fakeImages{}).do("GET", "/hub/admin/images", "dora"))
	var got []string
	for _, row := range p.elements("tr")[1:] {
		got = append(got, textOf(row))
	}
	want := []string{
		"No name 000000000000 0 bytes – – –",
		"localhost/lab/" + strings.Join(strings.Fields(hostileName), " ") +
			" eeeeeeeeeeee 0 bytes – – – Remove it localhost/lab/" + hostileName +
			"sudo gifford-hub images rm localhost/lab/" + hostileName,
		pinnedOne + " pinned dddddddddddd 1.0 MB – – – Remove it " + pinnedOne + "sudo gifford-hub images rm " +
			pinnedOne,
		unpulled + "Not in the store yet – – – gpu Pull " + unpulled,
		latest + " held cccccccccccc sha256:" + strings.Repeat("1", 64) + " 5.0 GB 1 hour ago – jupyterlab Pull " +
			latest + " Remove it " + latest + "sudo gifford-hub images rm " + latest,
		"Former " + latest + "ffffffffffff 4.0 GB 2 days ago jupyter-alice.service – Go back to it ffffffffffffsudo " +
			"gifford-hub images rollback " + latest + " --to ffffffffffff",
	}
	tight := func(all []string) (out []string) { // white space between cells is no matter
		for _, s := range all {
			out = append(out, strings.NewReplacer(" ", "", "\u00a0", "").Replace(s))
		}
		return out
	}
	if diff := cmp.Diff(tight(want), tight(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if text := plain(textOf(p.root)); !strings.Contains(text, "1.0 GB of 100.0 GB LOW") {
		t.Errorf("nothing of the disk in %s", text)
	}
}

// plain makes the spaces within sizes like others.
func plain(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

// TestNoKeeper checks that the page says why there is nothing on it, and what to do.
func TestNoKeeper(t *testing.T) {
	for name, h := range map[string]*hub{
		"none": newHub(t, nil),
		"silent": newImages(t, &fakeImages{err: &imagekeeper.Error{Message: "the image keeper does not run",
			Hint: "systemctl status gifford-images", Err: imagekeeper.ErrUnreachable}}),
	} {
		resp := h.do("GET", "/hub/admin/images", "dora")
		if text := body(t, resp); resp.StatusCode != http.StatusServiceUnavailable ||
			!strings.Contains(text, "image keeper") || !strings.Contains(text, "systemctl status gifford-images") {
			t.Errorf("%s: %s\n%s", name, resp.Status, text)
		}
		if resp := h.post("/hub/admin/images/pull", "dora",
			url.Values{"name": {latest}}); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: a pull answers %s", name, resp.Status)
		}
	}
}

// TestPull follows a pull on its page and in its stream.
func TestPull(t *testing.T) {
	keeper := &fakeImages{steps: make(chan imagekeeper.Progress)}
	h := newImages(t, keeper)
	at := "/hub/admin/images/pull?name=" + url.QueryEscape(latest)
	form := url.Values{"name": {latest}}
	if got := answer(h.post("/hub/admin/images/pull", "dora", form)); got != "See Other "+at {
		t.Fatal(got)
	}
	keeper.steps <- imagekeeper.Progress{Message: "fetching"}
	keeper.steps <- imagekeeper.Progress{Layer: "sha256:" + strings.Repeat("a", 64), Message: "layer", Current: 1e6,
		Total: 4e6}
	keeper.steps <- imagekeeper.Progress{Layer: "sha256:" + strings.Repeat("a", 64), Message: "layer", Current: 2e6,
		Total: 4e6}
	keeper.steps <- imagekeeper.Progress{Layer: "cccc", Message: "Downloading", Current: 1e3, Total: 3e3}
	keeper.steps <- imagekeeper.Progress{Layer: "cccc", Message: "Download complete"}
	// It is taken when the one before has been handled.
	keeper.steps <- imagekeeper.Progress{Layer: "bbbb", Message: "layer", Current: 7e3}
	text := plain(body(t, h.do("GET", at, "dora")))
	for _, want := range []string{"fetching", "aaaaaaaaaaaa", `value="50"`, "4.0 MB", `http-equiv="refresh"`,
		"/hub/admin/images/progress?_xsrf="} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	h.post("/hub/admin/images/pull", "dora", form) // one goes on
	if page := body(t, h.do("GET", "/hub/admin/images", "dora")); !strings.Contains(page, "Watch the pull") {
		t.Error("the page of images does not lead to the pull")
	}
	keeper.fails = &imagekeeper.Error{Message: "the registry refuses", Hint: "look at registry-auth.json"}
	close(keeper.steps)
	asked := html.UnescapeString(regexp.MustCompile(`data-progress="([^"]*)"`).FindStringSubmatch(text)[1])
	// ends with the pull
	stream := body(t, h.do("GET", asked, "dora", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"))
	events := strings.Split(strings.TrimSpace(stream), "\n\n")
	want := `data: {"name":"quay.io/lab/notebook:latest","message":"the registry refuses",` +
		`"layers":[{"id":"aaaaaaaaaaaa","message":"layer","percent":50,"known":true,"size":"4.0 MB"},` +
		`{"id":"cccc","message":"Download complete","percent":100,"known":true,"size":"3.0 kB"},` +
		`{"id":"bbbb","message":"layer","percent":0,"known":false,"size":"7.0 kB"}],` +
		`"over":true,"failed":true,"hint":"look at registry-auth.json"}`
	if diff := cmp.Diff(want, plain(events[len(events)-1])); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if text := body(t, h.do("GET", at, "dora")); !strings.Contains(text, "look at registry-auth.json") ||
		strings.Contains(text, "pull.js") || strings.Contains(text, "http-equiv") {
		t.Errorf("the page after the end:\n%s", text)
	}
	if diff := cmp.Diff([]string{latest}, keeper.pulled); diff != "" {
		t.Errorf("pulled, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"image-pull-requested dora image=" + latest}, h.told()); diff != "" {
		t.Errorf("told, -want +got:\n%s", diff)
	}
}

// TestPullRefused has what cannot be pulled here, and by whom.
func TestPullRefused(t *testing.T) {
	for name, tt := range map[string]struct{ user, image, want string }{
		"no image":                             {"dora", "docker.io/evil", "Bad Request"},
		"no name":                              {"dora", "", "Bad Request"},
		"pinned":                               {"dora", pinnedOne, "Bad Request"},
		"no registry has it":                   {"dora", "localhost/lab/" + hostileName, "Bad Request"},
		"a member":                             {"alice", latest, "Not Found"},
		"who administers no more than a group": {"bob", latest, "Not Found"},
	} {
		keeper := &fakeImages{}
		h := newImages(t, keeper)
		h.cfg.Access = h.who(roles(t, h.db, warden))
		if got := answer(h.post("/hub/admin/images/pull", tt.user, url.Values{"name": {tt.image}})); got != tt.want ||
			len(keeper.pulled) > 0 {
			t.Errorf("%s: %s, pulled %v", name, got, keeper.pulled)
		}
	}
	h := newImages(t, &fakeImages{})
	h.cfg.Access = h.who(roles(t, h.db, warden))
	stream := "/progress?_xsrf=" + pageTokens.ForStream(sessionOf("bob"), "/hub/admin/images/progress") + "&name=" +
		latest
	for _, path := range []string{"", "/pull?name=" + latest, stream} {
		if got := answer(h.do("GET", "/hub/admin/images"+path, "bob")); got != "Not Found" {
			t.Errorf("the warden sees %q: %s", path, got)
		}
	}
}

// TestNewerImage checks who is told of a newer image, and that pages do not ask the
// launcher each time nor fail with it.
func TestNewerImage(t *testing.T) {
	const note = "A newer version of this environment is there"
	images := backend.Images{
		Servers:  map[ident.Key]string{key("alice"): "1", key("bob"): "1", key("alice:x"): "1"},
		Profiles: map[string]string{"gpu": "2", "jupyterlab": "2"},
	}
	asked, clock := 0, now
	var fails error
	h := newHub(t, func(c *setup) {
		c.NamedServers = 2
		c.Now = func() time.Time { return clock }
		c.Images = func(context.Context) (backend.Images, error) { asked++; return images, fails }
	})
	h.servers.table[key("alice:x")] = servers.Server{Key: key("alice:x"), State: servers.Ready}
	home := func(user string) string { return body(t, h.do("GET", "/hub/home", user)) }
	if text := home("alice"); !strings.Contains(text, note) ||
		!strings.Contains(text, "A newer version is there for its next start") {
		t.Errorf("alice is not told:\n%s", text)
	}
	if strings.Contains(home("bob"), note) || strings.Contains(home("gail"), note) {
		t.Error("somebody is told whose server does not run")
	}
	if n := strings.Count(body(t, h.do("GET", "/hub/admin", "dora")), "older image"); n != 2 {
		t.Errorf("the users have %d marks, want 2", n)
	}
	if asked != 1 {
		t.Errorf("the launcher was asked %d times", asked)
	}
	clock, images = now.Add(time.Minute), backend.Images{Servers: images.Servers,
		Profiles: map[string]string{"gpu": "1", "jupyterlab": "1"}}
	if strings.Contains(home("alice"), note) {
		t.Error("alice is told though her image is the current one")
	}
	clock, fails = clock.Add(time.Minute), errors.New("no answer")
	if resp := h.do("GET", "/hub/home", "alice"); resp.StatusCode != http.StatusOK ||
		strings.Contains(body(t, resp), note) {
		t.Errorf("with a silent launcher: %s", resp.Status)
	}
}

// TestWaitForChange has what ends the wait of a stream, and when.
func TestWaitForChange(t *testing.T) {
	const never = time.Hour
	tests := map[string]struct {
		changes, gone, ticks time.Duration // when
		dead                 bool          // the browser does not take what keeps the connection alive
		want                 bool
		after                time.Duration
	}{
		"a change":           {changes: time.Second, gone: never, ticks: never, want: true, after: time.Second},
		"a change at once":   {changes: 0, gone: never, ticks: never, want: true, after: updateEvery},
		"the browser leaves": {changes: never, gone: time.Minute, ticks: never, after: time.Minute},
		"it is there":        {changes: time.Minute, gone: never, ticks: time.Second, want: true, after: time.Minute},
		"it has left":        {changes: time.Minute, gone: never, ticks: time.Second, dead: true, after: time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.gone)
				defer cancel()
				changed := make(chan struct{})
				time.AfterFunc(tt.changes, func() { close(changed) })
				began, alive := time.Now(), 0
				got := (&Web{}).waitForChange(ctx, changed, time.After(tt.ticks), func() error {
					alive++
					if tt.dead {
						return errors.New("broken pipe")
					}
					return nil
				})
				if got != tt.want || time.Since(began) != tt.after || (alive > 0) != (tt.ticks < never) {
					t.Errorf("%v after %v, asked %d times", got, time.Since(began), alive)
				}
			})
		})
	}
}
