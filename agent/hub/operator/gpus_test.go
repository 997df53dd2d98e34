package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// fakeDevices knows some devices, or fails.
type fakeDevices struct {
	known backend.GPUs
	err   error
}

func (f fakeDevices) GPUs(context.Context) (backend.GPUs, error) { return f.known, f.err }

func (fakeDevices) User(_ context.Context, uid uint32) string { return fmt.Sprintf("user-%d", uid) }

func askGPUs(f fakeDevices) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	New(Config{GPUs: f, Log: slog.New(slog.DiscardHandler)}).Handler().ServeHTTP(w,
		httptest.NewRequest(http.MethodGet, control.GPUsPath, nil))
	return w
}

func TestGPUs(t *testing.T) {
	alice, err := ident.ParseKey("alice", "x")
	if err != nil {
		t.Fatal(err)
	}
	since := time.Unix(1e9, 0).UTC()
	w := askGPUs(fakeDevices{known: backend.GPUs{
		Devices: []backend.Device{{Name: "x/y=0", Model: "M", Memory: 9, Sharing: backend.Shared, Places: 2,
			Profiles: []string{"p"}, Holders: []backend.Holder{{Key: alice, Profile: "p", Since: since}},
			Now:       backend.Load{Known: true, Busy: .5, Memory: 3},
			Strangers: []backend.Process{{PID: 7, UID: 5, Command: "c", Unit: "u", Memory: 2}}},
			{Name: "x/y=1", Health: "broken", Sharing: backend.Open}},
		Broken: []backend.BrokenSpec{{File: "f", Error: "e"}}, Measured: since, ToolError: "none"}})
	var got control.GPUs
	if err := json.NewDecoder(w.Body).Decode(&got); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	want := control.GPUs{
		Devices: []control.GPU{{Name: "x/y=0", Model: "M", Memory: 9, Sharing: "shared", Places: 2,
			Lent: "1 of 2 places taken", Profiles: []string{"p"},
			Holders:   []control.GPUHolder{{User: alice.User, Server: alice.Server, Profile: "p", Since: since}},
			Now:       &control.GPULoad{Busy: .5, Memory: 3},
			Strangers: []control.GPUProcess{{PID: 7, UID: 5, User: "user-5", Command: "c", Unit: "u", Memory: 2}}},
			{Name: "x/y=1", Health: "broken", Sharing: "open", Lent: "open to all", Profiles: []string{},
				Holders: []control.GPUHolder{}, Strangers: []control.GPUProcess{}}},
		Broken: []control.BrokenSpec{{File: "f", Error: "e"}}, Measured: since, ToolError: "none"}
	same := cmp.Options{cmp.Comparer(func(a, b ident.User) bool { return a == b }),
		cmp.Comparer(func(a, b ident.Server) bool { return a == b })}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestGPUsUnknown checks that root is told why, and what to do.
func TestGPUsUnknown(t *testing.T) {
	w := askGPUs(fakeDevices{err: hint.New("no reply", "ask the backend")})
	if text := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(text, "no reply") ||
		!strings.Contains(text, "ask the backend") {
		t.Errorf("%d %s", w.Code, text)
	}
}

// TestNoGPUs checks that scripts get lists, not null.
func TestNoGPUs(t *testing.T) {
	if got := strings.TrimSpace(askGPUs(fakeDevices{}).Body.String()); got != `{"devices":[],"broken":[]}` {
		t.Error(got)
	}
}
