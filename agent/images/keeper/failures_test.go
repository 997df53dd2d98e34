package keeper

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// broken is a Podman of which one operation fails.
type broken struct {
	*fake
	what string
}

var errBroken = errors.New("broken")

func (b *broken) fails(what string) error {
	if b.what == what {
		return errBroken
	}
	return nil
}

func (b *broken) list(ctx context.Context) ([]summary, error) {
	if err := b.fails("list"); err != nil {
		return nil, err
	}
	return b.fake.list(ctx)
}

func (b *broken) tag(ctx context.Context, id, repository, tag string) error {
	if err := b.fails("tag"); err != nil {
		return err
	}
	return b.fake.tag(ctx, id, repository, tag)
}

func (b *broken) remove(ctx context.Context, id string) error {
	if err := b.fails("remove"); err != nil {
		return err
	}
	return b.fake.remove(ctx, id)
}

func (b *broken) inspect(ctx context.Context, id string) (config, error) {
	if err := b.fails("inspect"); err != nil {
		return config{}, err
	}
	return b.fake.inspect(ctx, id)
}

// TestErrorsComeBack checks that no operation loses an error of Podman, of the policy or of the history.
func TestErrorsComeBack(t *testing.T) {
	none := 0
	calls := map[string]func(*rig) error{
		"Images": func(r *rig) error { _, err := r.Images(t.Context()); return err },
		"Image":  func(r *rig) error { _, err := r.Image(t.Context(), name); return err },
		"Remove": func(r *rig) error { return r.Remove(t.Context(), name) },
		"Prune": func(r *rig) error {
			_, err := r.Prune(t.Context(), imagekeeper.PruneRequest{KeepFormer: &none})
			return err
		},
		"Rollback": func(r *rig) error {
			_, err := r.Rollback(t.Context(), imagekeeper.RollbackRequest{Name: name})
			return err
		},
		"Pull": func(r *rig) error {
			j, err := r.Pull(name, false)
			if err != nil {
				return err
			}
			if p := last(t, j, nil); p.Failed {
				return errors.New(p.Message)
			}
			return nil
		},
		"Ensure":      func(r *rig) error { _, err := r.Ensure("lab"); return err },
		"Refreshable": func(r *rig) error { _, err := r.Refreshable(); return err },
		"Disk":        func(r *rig) error { _, err := r.Disk(); return err },
	}
	spoils := map[string]struct {
		spoil func(*testing.T, *rig)
		hits  string // calls that must fail
	}{
		"list":    {podman("list"), "Images Image Remove Prune Rollback Pull"},
		"tag":     {podman("tag"), "Rollback Pull"},
		"remove":  {podman("remove"), "Prune Remove"},
		"inspect": {podman("inspect"), "Image Rollback"},
		"policy": {func(_ *testing.T, r *rig) {
			r.cfg.Policy = func() (*policy.Policy, error) { return nil, errBroken }
		}, "Images Image Prune Pull Ensure Refreshable Disk Rollback"},
		"history": {func(t *testing.T, r *rig) { put(t, historyFile(r.cfg.StateDir), "{") },
			"Images Image Remove Prune Rollback Pull Ensure Refreshable"},
		"store": {func(t *testing.T, r *rig) { put(t, filepath.Join(r.podman.dir, "overlay-images/images.json"), "{") },
			"Image Remove Rollback Pull Disk"},
		"uses": {func(t *testing.T, r *rig) {
			if err := os.RemoveAll(filepath.Join(r.run, "images")); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(r.run, "images"), "no directory")
		}, "Remove Prune"},
	}
	for what, s := range spoils {
		for call, do := range calls {
			r := newRig(t)
			r.pulled(t, name, id(1))
			r.pulled(t, name, id(2))
			s.spoil(t, r)
			must := strings.Contains(" "+s.hits+" ", " "+call+" ")
			if err := do(r); must && err == nil {
				t.Errorf("%s with a broken %s gives no error", call, what)
			} else if !must && err != nil {
				t.Errorf("%s with a broken %s: %v", call, what, err)
			}
			if !r.changes.tryClose() {
				t.Errorf("%s with a broken %s leaves the gate in use", call, what)
			}
		}
	}
}

func podman(what string) func(*testing.T, *rig) {
	return func(_ *testing.T, r *rig) { r.cfg.Podman = &broken{r.podman, what} }
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRefusalsOnTheWire checks that a refusal is a 400 with its next step, and anything else a 500 with one.
func TestRefusalsOnTheWire(t *testing.T) {
	r := newRig(t)
	for what, tt := range map[string]struct {
		err        error
		status     int
		text, next string
	}{
		"refusal":           {refuseWith("ask", "no"), 400, "no", "ask"},
		"refusal, no step":  {refuse("no"), 400, "no", ""},
		"failure":           {errBroken, 500, "broken", "journalctl -u gifford-images"},
		"failure and step":  {hint.With(errBroken, "fix it"), 500, "broken", "fix it"},
		"client went away":  {context.Canceled, 200, "", ""},
		"no error":          {nil, 200, "", ""},
		"a wrapped refusal": {errors.Join(refuseWith("ask", "no"), nil), 400, "no", "ask"},
	} {
		w := httptest.NewRecorder()
		r.answerError(w, httptest.NewRequest(http.MethodPost, "/x", nil), tt.err)
		want := ""
		if tt.text != "" {
			want = `{"message":"` + tt.text + `"`
			if tt.next != "" {
				want += `,"hint":"` + tt.next + `"`
			}
			want += "}\n"
		}
		if w.Code != tt.status || w.Body.String() != want {
			t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, tt.status, want)
		}
	}
}
