package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Images of the keeper that stands in the tests.
var (
	current = imagekeeper.Image{ID: strings.Repeat("c", 64), Names: []string{"quay.io/lab/notebook:latest"},
		Digest: "sha256:" + strings.Repeat("1", 64),
		Size:   4_200_000_000, Created: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
		Pulled:   time.Date(2020, 1, 3, 3, 4, 5, 0, time.UTC),
		Profiles: []string{"jupyterlab"}, InUse: []string{"jupyter-alice.service", "jupyter-bob.service"}, Held: true}
	former = imagekeeper.Image{ID: strings.Repeat("f", 64), FormerOf: []string{"quay.io/lab/notebook:latest"},
		Size:   4_000_000_000,
		Pulled: time.Date(2019, 1, 3, 3, 4, 5, 0, time.UTC), InUse: []string{"jupyter-carol.service"}}
	pinned = imagekeeper.Image{ID: strings.Repeat("d", 64), Names: []string{"quay.io/lab/course@sha256:" +
		strings.Repeat("2", 64)}, Size: 1_000_000}
)

// keeper starts a keeper of images on the socket named. It stands for the real one, whose
// own tests cover what it does; here the commands are tested.
func keeper(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	mux := http.NewServeMux()
	give := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux.HandleFunc("GET "+imagekeeper.ImagesPath, give([]imagekeeper.Image{pinned, former, current}))
	mux.HandleFunc("GET "+imagekeeper.DiskPath, give(imagekeeper.Disk{Path: "/var/lib/gifford-images/storage",
		Store: 9e9, Free: 1e9, Total: 100e9, Low: true}))
	mux.HandleFunc("GET "+imagekeeper.ImagePath, showImage)
	mux.HandleFunc("POST "+imagekeeper.PullPath, pullImage)
	mux.HandleFunc("POST "+imagekeeper.ImportPath, importImage)
	mux.HandleFunc("POST "+imagekeeper.RemovePath, removeImage)
	mux.HandleFunc("POST "+imagekeeper.PrunePath, pruneImages)
	mux.HandleFunc("POST "+imagekeeper.RollbackPath, rollbackImage)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	ts.Defer(func() {
		_ = srv.Close()
		<-done
	})
}

func refuse(w http.ResponseWriter, status int, message, hint string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(imagekeeper.Failure{Message: message, Hint: hint})
}

func showImage(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("name") != current.Names[0] {
		refuse(w, http.StatusNotFound, "there is no image "+r.URL.Query().Get("name"), "gifford-hub images list")
		return
	}
	_ = json.NewEncoder(w).Encode(imagekeeper.Detail{Image: current, User: "jovyan",
		Command: []string{"start.sh", "jupyter"}, Labels: map[string]string{"b": "2", "a": "1"},
		Layers: []imagekeeper.Layer{{Digest: "sha256:" + strings.Repeat("9", 64), Size: 1_000_000}},
		Former: map[string][]imagekeeper.Former{current.Names[0]: {{ID: former.ID, Pulled: former.Pulled}}}})
}

func pullImage(w http.ResponseWriter, r *http.Request) {
	var req imagekeeper.PullRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	name := req.Name
	if name == "docker.io/evil" {
		refuse(w, http.StatusForbidden, "the policy does not allow image "+name, "man launcher.toml")
		return
	}
	if name == "" {
		name = current.Names[0]
	}
	enc := json.NewEncoder(w)
	layer := "sha256:" + strings.Repeat("a", 64)
	_ = enc.Encode(imagekeeper.Progress{Image: name, Message: "asking the registry"})
	for _, at := range []int64{0, 500} {
		_ = enc.Encode(imagekeeper.Progress{Image: name, Layer: layer, Message: "Downloading", Current: at,
			Total: 1000})
	}
	_ = enc.Encode(imagekeeper.Progress{Image: name, Layer: layer, Message: "Download complete"})
	if strings.Contains(name, "broken") {
		_ = enc.Encode(imagekeeper.Progress{Image: name, Message: "the registry broke off", Failed: true,
			Hint: "try again"})
		return
	}
	_ = enc.Encode(imagekeeper.Progress{Image: name, Message: "is there", ID: current.ID, Done: true})
}

func importImage(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if !strings.HasPrefix(string(body), "archive") {
		refuse(w, http.StatusBadRequest, "this is no archive of an image", "")
		return
	}
	_ = json.NewEncoder(w).Encode(imagekeeper.Progress{Image: r.URL.Query().Get("name"), Message: "imported",
		Done: true})
}

func removeImage(w http.ResponseWriter, r *http.Request) {
	var req imagekeeper.RemoveRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	if req.Name == current.Names[0] {
		refuse(w, http.StatusConflict, "cannot remove "+req.Name+": jupyter-alice.service needs it",
			"gifford-hub servers stop alice")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// pruneImages takes the former image if none is retained.
func pruneImages(w http.ResponseWriter, r *http.Request) {
	var req imagekeeper.PruneRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	var p imagekeeper.Pruned
	if req.KeepFormer != nil && *req.KeepFormer == 0 {
		p = imagekeeper.Pruned{Images: []imagekeeper.Image{former}, Freed: former.Size}
	}
	_ = json.NewEncoder(w).Encode(p)
}

func rollbackImage(w http.ResponseWriter, r *http.Request) {
	var req imagekeeper.RollbackRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	if req.To != "" && !strings.HasPrefix(former.ID, req.To) {
		refuse(w, http.StatusNotFound, req.Name+" has no former image "+req.To, "gifford-hub images show "+req.Name)
		return
	}
	_ = json.NewEncoder(w).Encode(former)
}

// TestStepsOnATerminal checks what a terminal shows in the end, and that what is drawn
// again is wiped first.
func TestStepsOnATerminal(t *testing.T) {
	var out strings.Builder
	s := &steps{w: &out, over: map[[2]string]bool{}, width: func() int { return 21 }}
	layer := func(id string, at int64) {
		s.last = time.Time{} // a redraw is due
		s.step(imagekeeper.Progress{Image: "x", Layer: id, Message: "coming", Current: at, Total: 1000})
	}
	s.step(imagekeeper.Progress{Image: "x", Message: "asking"})
	layer("aaaa", 0)
	layer("bbbb", 500)
	layer("aaaa", 1000)
	s.step(imagekeeper.Progress{Image: "x", Layer: "aaaa", Message: "Download complete"}) // told once
	s.step(imagekeeper.Progress{Image: "x", Layer: "cccc", Message: "Already exists"})
	s.step(imagekeeper.Progress{Image: "x", Message: "broke off"})
	s.end()
	want := []string{"x: asking", "aaaa coming 1.0 kB", "cccc Already exists", "x: broke off", "bbbb coming  50% of "}
	if diff := cmp.Diff(want, screen(out.String())); diff != "" {
		t.Errorf("the screen, -want +got:\n%s\nwritten: %q", diff, out.String())
	}
}

// screen returns the lines that a terminal shows which knows two sequences: up to the
// beginning of a line above, and wipe from there.
func screen(written string) []string {
	lines := []string{}
	for _, part := range strings.SplitAfter(written, "\n") {
		for strings.HasPrefix(part, "\x1b[") {
			sequence, rest, _ := strings.Cut(part, "F")
			up := int(sequence[2] - '0')
			lines = lines[:len(lines)-up]
			part = strings.TrimPrefix(rest, "\x1b[J")
		}
		if line, ok := strings.CutSuffix(part, "\n"); ok {
			lines = append(lines, line)
		}
	}
	return lines
}
