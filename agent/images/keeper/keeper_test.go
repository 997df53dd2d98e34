package keeper

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// last follows a job to its end.
func last(t *testing.T, j *job, err error) imagekeeper.Progress {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var p imagekeeper.Progress
	if err := j.follow(t.Context(), func(q imagekeeper.Progress) error { p = q; return nil }); err != nil {
		t.Fatal(err)
	}
	return p
}

// pulled pulls a name that the registry now has as that image.
func (r *rig) pulled(t *testing.T, name, id string) {
	t.Helper()
	r.podman.mu.Lock()
	r.podman.registry[name] = id
	r.podman.mu.Unlock()
	j, err := r.Pull(name, false)
	if p := last(t, j, err); !p.Done || p.ID != id {
		t.Fatalf("the pull ended with %+v", p)
	}
}

// ids names what Images lists, as "id names former".
func (r *rig) ids(t *testing.T) []string {
	t.Helper()
	list, err := r.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, i := range list {
		all = append(all, strings.TrimSpace(i.ID[:2]+" "+strings.Join(i.Names, ",")+" "+strings.Join(i.FormerOf, ",")))
	}
	return all
}

func (r *rig) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.ids(t)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestPullKeepsTheFormer(t *testing.T) {
	r := newRig(t)
	r.pulled(t, name, id(1))
	r.pulled(t, name, id(1)) // nothing new
	r.want(t, "01 "+name)
	r.pulled(t, name, id(2))
	r.want(t, "02 "+name, "01  "+name)
	for _, s := range r.podman.images[id(1)].names {
		if !hidden(s) {
			t.Errorf("the former image has the name %s", s)
		}
	}
	r.pulled(t, name, id(1)) // the registry went back
	r.want(t, "01 "+name, "02  "+name)
}

func TestFailedPullLeavesTheStore(t *testing.T) {
	for _, before := range []bool{true, false} {
		r := newRig(t)
		want := []string{}
		if before {
			r.pulled(t, name, id(1))
			want = r.ids(t)
		}
		names := ""
		if before {
			names = strings.Join(r.podman.images[id(1)].names, " ")
		}
		r.podman.failAt, r.podman.registry[name] = "pull", id(2)
		j, err := r.Pull(name, false)
		if p := last(t, j, err); !p.Failed || !strings.Contains(p.Message, "no space left") {
			t.Errorf("the pull ended with %+v", p)
		}
		r.want(t, want...)
		if before && strings.Join(r.podman.images[id(1)].names, " ") != names {
			t.Errorf("the image's names are %v, were %s", r.podman.images[id(1)].names, names)
		}
	}
}

func TestRefusedNames(t *testing.T) {
	tests := map[string]struct{ name, want string }{
		"not allowed":     {"docker.io/evil/image:1", "does not allow"},
		"short":           {"evil", "docker.io/library/evil:latest"},
		"no name":         {"UPPER CASE", "no image name"},
		"empty":           {"", "no image name"},
		"the keeper's":    {"localhost/gifford-former/00:1", "own"},
		"a slash too far": {"quay.io/other/deeper/x:1", "does not allow"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			_, err := r.Pull(tt.name, false)
			var refused *refusal
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Pull: %v, want a refusal with %q", err, tt.want)
			}
			if _, err := r.Import(t.Context(), tt.name, strings.NewReader(""), noInterrupt); !errors.As(err, &refused) {
				t.Errorf("Import: %v, want a refusal", err)
			}
		})
	}
}

func TestNoRoom(t *testing.T) {
	r := newRig(t)
	r.text = strings.Replace(r.text, `"1K"`, `"1000000T"`, 1)
	j, err := r.Pull(name, false)
	if p := last(t, j, err); !p.Failed || !strings.Contains(p.Message, "left, and the policy wants") ||
		r.podman.pulls != 0 {
		t.Errorf("the pull ended with %+v after %d pulls", p, r.podman.pulls)
	}
}

func TestOnePullForAll(t *testing.T) {
	r := newRig(t)
	r.podman.brake, r.podman.registry[name] = make(chan struct{}), id(1)
	one, err1 := r.Pull(name, false)
	two, err2 := r.Ensure("lab")
	if one != two || err1 != nil || err2 != nil {
		t.Errorf("two jobs for one image: %v, %v", err1, err2)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := one.follow(gone, func(imagekeeper.Progress) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("who goes away gets %v", err)
	}
	close(r.podman.brake)
	if p := last(t, two, nil); !p.Done || r.podman.pulls != 1 {
		t.Errorf("ended with %+v after %d pulls", p, r.podman.pulls)
	}
}

func TestEnsure(t *testing.T) {
	r := newRig(t)
	if _, err := r.Ensure("never"); err == nil || !strings.Contains(err.Error(), "localhost/never:1") ||
		!strings.Contains(err.Error(), "does not allow pulling") {
		t.Errorf("an image that may not be pulled: %v", err)
	}
	if _, err := r.Ensure("nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("no such profile: %v", err)
	}
	r.podman.registry[name] = id(1)
	j, err := r.Ensure("")
	if p := last(t, j, err); p.ID != id(1) {
		t.Errorf("ended with %+v", p)
	}
	if j, err = r.Ensure("lab"); !last(t, j, err).Done || r.podman.pulls != 1 {
		t.Errorf("%d pulls for an image that is there", r.podman.pulls)
	}
	if err := os.WriteFile(filepath.Join(r.podman.dir, "overlay-images/images.json"),
		[]byte(`[{"id":"`+id(1)+`","verity":true}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	if j, err = r.Ensure("never"); !last(t, j, err).Done {
		t.Error("in an unknown format the keeper does not leave the image to the member")
	}
	r.podman.write()
	r.text = strings.Replace(r.text, "[images]", "[images]\nshare = false", 1)
	if j, err = r.Ensure("never"); !last(t, j, err).Done {
		t.Error("with share = false the keeper does not leave the image to the member")
	}
}

func TestArchive(t *testing.T) {
	r := newRig(t)
	archive := filepath.Join(t.TempDir(), "a.tar")
	r.text += "[profile.own]\nimage = \"localhost/own:1\"\narchive = \"" + archive + "\"\n"
	if _, err := r.Ensure("own"); err == nil || !strings.Contains(hint.Of(err), "gifford-images must be able to read") {
		t.Errorf("no archive: %v", err)
	}
	write := func(text string, at time.Time) {
		if err := errors.Join(os.WriteFile(archive, []byte(text), 0o644), os.Chtimes(archive, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	one, two := docker(t, held(1, "localhost/own:1")), docker(t, held(2, "localhost/own:1", "localhost/more:1"))
	write(one, time.Unix(1000, 0))
	j, err := r.Ensure("own")
	if p := last(t, j, err); p.ID != id(1) {
		t.Fatalf("ended with %+v", p)
	}
	write(two, time.Unix(2000, 0))
	if j, err = r.Ensure("own"); last(t, j, err).ID != id(2) {
		t.Error("a newer archive was not loaded")
	}
	r.want(t, "02 localhost/own:1", "01  localhost/own:1")
	write(docker(t, held(3, "localhost/other:1")), time.Unix(3000, 0))
	j, err = r.Ensure("own")
	if p := last(t, j, err); !p.Failed || !strings.Contains(p.Message, `does not hold an image "localhost/own:1"`) {
		t.Errorf("an archive with another image: %+v", p)
	}
	r.want(t, "02 localhost/own:1", "01  localhost/own:1")
	write(two, time.Unix(2000, 0))
	if err := r.Remove(t.Context(), "localhost/own:1"); err != nil {
		t.Fatal(err)
	}
	if j, err = r.Ensure("own"); last(t, j, err).ID != id(2) {
		t.Error("an image that was removed was not loaded again")
	}
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	if j, err = r.Ensure("own"); !last(t, j, err).Done {
		t.Error("an image that is in the store still needs its archive")
	}
}

func tarball(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestImport(t *testing.T) {
	r := newRig(t)
	r.pulled(t, "localhost/theirs:1", id(7))
	j, err := r.Import(t.Context(), "localhost/mine:1", strings.NewReader(docker(t, held(1, "localhost/theirs:1"))),
		noInterrupt)
	if p := last(t, j, err); p.ID != id(1) {
		t.Errorf("ended with %+v", p)
	}
	r.want(t, "01 localhost/mine:1", "07 localhost/theirs:1")
	j, err = r.Import(t.Context(), "localhost/root:1", strings.NewReader(tarball(t, "./etc/passwd", "root:x:0")),
		noInterrupt)
	if p := last(t, j, err); p.ID != id(99) {
		t.Errorf("a root file system ended with %+v", p)
	}
	for what, text := range map[string]string{"nothing": "", "text": strings.Repeat("no tar ", 1000),
		"unknown image": tarball(t, "oci-layout", "{}")} {
		before := r.ids(t)
		j, err = r.Import(t.Context(), "localhost/mine:1", strings.NewReader(text), noInterrupt)
		if p := last(t, j, err); !p.Failed {
			t.Errorf("%s: ended with %+v", what, p)
		}
		r.want(t, before...)
	}
}

func TestRollback(t *testing.T) {
	r := newRig(t)
	for i := 1; i <= 3; i++ {
		r.pulled(t, name, id(i))
	}
	if _, err := r.Rollback(t.Context(), imagekeeper.RollbackRequest{Name: "quay.io/other/x"}); err == nil ||
		!strings.Contains(err.Error(), "no former image") {
		t.Errorf("without a former image: %v", err)
	}
	image, err := r.Rollback(t.Context(), imagekeeper.RollbackRequest{Name: name})
	if err != nil || image.ID != id(2) || !image.Held {
		t.Fatalf("went to %+v, %v", image, err)
	}
	r.want(t, "02 "+name, "01  "+name, "03  "+name)
	if names, err := r.Refreshable(); err != nil || len(names) != 0 {
		t.Errorf("a held name is refreshed: %v, %v", names, err)
	}
	image, err = r.Rollback(t.Context(), imagekeeper.RollbackRequest{Name: name, To: id(1)[:12]})
	if err != nil || image.ID != id(1) {
		t.Errorf("went to %+v, %v", image, err)
	}
	if _, err := r.Rollback(t.Context(), imagekeeper.RollbackRequest{Name: name, To: id(9)}); err == nil ||
		!strings.Contains(err.Error(), "was never image") {
		t.Errorf("to an image that it never had: %v", err)
	}
	r.pulled(t, name, id(3))
	if names, _ := r.Refreshable(); !slices.Equal(names, []string{name}) {
		t.Errorf("after a pull %v is refreshed", names)
	}
}

func TestPruneAndRemove(t *testing.T) {
	r := newRig(t)
	for i := 1; i <= 5; i++ {
		r.pulled(t, name, id(i))
	}
	r.use(t, "jupyter-alice.service", id(1))
	dry, err := r.Prune(t.Context(), imagekeeper.PruneRequest{DryRun: true})
	if err != nil || len(dry.Images) != 1 || dry.Images[0].ID != id(2) || len(r.ids(t)) != 5 {
		t.Fatalf("a dry run: %+v, %v; images %v", dry, err, r.ids(t))
	}
	if done, err := r.Prune(t.Context(), imagekeeper.PruneRequest{}); err != nil || done.Freed != 100 {
		t.Errorf("pruned %+v, %v", done, err)
	}
	r.want(t, "05 "+name, "01  "+name, "03  "+name, "04  "+name)
	if err := r.Remove(t.Context(), id(1)); err == nil || !strings.Contains(err.Error(),
		"in use by jupyter-alice.service") {
		t.Errorf("removing what is in use: %v", err)
	}
	none := 0
	if _, err := r.Prune(t.Context(), imagekeeper.PruneRequest{KeepFormer: &none}); err != nil {
		t.Error(err)
	}
	r.want(t, "05 "+name, "01  "+name)
	if err := r.Remove(t.Context(), name); err != nil {
		t.Error(err)
	}
	r.want(t, "01  "+name)
	if err := r.Remove(t.Context(), name); err == nil || !strings.Contains(err.Error(), "there is no image") {
		t.Errorf("removing it again: %v", err)
	}
}

// TestWhoMay asks every route as every kind of caller.
func TestWhoMay(t *testing.T) {
	r := newRig(t)
	const hub = 990
	handler := r.Handler(hub)
	for _, route := range r.routes() {
		for uid, may := range map[any]bool{uint32(0): true, uint32(hub): route.hub, uint32(5001): false, nil: false} {
			req := httptest.NewRequest(route.method, route.path, strings.NewReader("{"))
			if uid != nil {
				req = req.WithContext(context.WithValue(req.Context(), peerKey{}, uid))
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			if (w.Code != http.StatusForbidden) != may {
				t.Errorf("%s %s as %v: %d %s", route.method, route.path, uid, w.Code, w.Body)
			}
			var f imagekeeper.Failure
			if w.Code >= 400 && (json.Unmarshal(w.Body.Bytes(), &f) != nil || f.Message == "") {
				t.Errorf("%s %s as %v: no reason in %s", route.method, route.path, uid, w.Body)
			}
		}
	}
}

// TestReadPull reads what Podman streams.
func TestReadPull(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   []layerStep
		err    string
	}{
		"whole": {200, `{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"aa"}` +
			`{"status":"Download complete","id":"bb"}`,
			[]layerStep{{Layer: "aa", Status: "Downloading", Current: 5, Total: 10},
				{Layer: "bb", Status: "Download complete"}}, ""},
		"error in the stream": {200,
			`{"status":"x"}{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}`,
			[]layerStep{{Status: "x"}}, "manifest unknown"},
		"refused": {500, `{"cause":"x","message":"normalizing image: bad","response":500}`, nil,
			"normalizing image"},
		"cut off": {200, `{"status":"x"`, nil, "broke off"},
		"no JSON": {502, `<html>`, nil, "broke off"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.WriteHeader(tt.status)
			_, _ = w.WriteString(tt.body)
			var got []layerStep
			err := readPull(w.Result(), func(s layerStep) { got = append(got, s) })
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("the error is %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBrokenHistory(t *testing.T) {
	r := newRig(t)
	r.podman.registry[name] = id(1)
	if err := os.WriteFile(historyFile(r.cfg.StateDir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := r.Pull(name, false)
	if p := last(t, j, err); !p.Failed || !strings.Contains(p.Message, "history.json") {
		t.Errorf("ended with %+v", p)
	}
}

// TestRemoveByID checks that the beginning of an ID means one image, and that an image which an import has not named
// yet stays.
func TestRemoveByID(t *testing.T) {
	r := newRig(t)
	one, two := strings.Repeat("ab", 31)+"01", strings.Repeat("ab", 31)+"02"
	r.pulled(t, "localhost/one:1", one)
	r.pulled(t, "localhost/two:1", two)
	if err := r.Remove(t.Context(), one[:12]); err == nil || !strings.Contains(err.Error(), "2 images have an ID") {
		t.Errorf("the beginning of two IDs: %v", err)
	}
	if err := r.Remove(t.Context(), one); err != nil {
		t.Error(err)
	}
	r.want(t, "ab localhost/two:1")
	_, release := r.hanging(t, name, id(3))
	r.podman.mu.Lock()
	r.podman.put(nil, id(4)) // an import has loaded it
	r.podman.mu.Unlock()
	if err := r.Remove(t.Context(), id(4)); err == nil || !strings.Contains(err.Error(), "has no name yet") {
		t.Errorf("an image that has no name yet: %v", err)
	}
	release()
	r.Wait()
	if err := r.Remove(t.Context(), id(4)); err != nil {
		t.Errorf("without a pull beside it: %v", err)
	}
}
