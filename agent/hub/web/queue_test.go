package web

import (
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// inQueue is a hub in which gail waits for a GPU.
func inQueue(t *testing.T) *hub {
	t.Helper()
	h := newHub(t, withGPUs(t, &fakeLauncher{known: fourGPUs()}))
	h.servers.table[key("gail")] = servers.Server{Key: key("gail"), State: servers.Queued, Profile: "gpu", Since: now}
	h.servers.waits = map[ident.Key]servers.Queue{key("gail"): {Since: now.Add(-40 * time.Minute), Position: 2, Of: 3,
		Estimate: 130 * time.Minute, Devices: fourGPUs().Devices[:2]}}
	return h
}

func TestQueuePage(t *testing.T) {
	h := inQueue(t)
	tests := map[string]struct {
		target, user string
		want, not    []string
	}{
		"own": {"/hub/spawn-pending/gail?next=/user/gail/tree", "gail",
			[]string{"Your server waits for a GPU", "2nd of 3 in the queue", "40 minutes", "about 2 hours",
				"NVIDIA H100",
				"alice", "3 hours",
				`name="without_gpus" value="1"`, `name="profile" value="gpu"`, `value="/user/gail/tree"`,
				`action="/hub/spawn/gail"`, "Leave the queue", `action="/hub/stop/gail"`, `http-equiv="refresh"`},
			[]string{"progress"}},
		"home": {"/hub/home", "gail", []string{"2nd of 3 in the queue", "Waiting for a GPU", "Leave the queue",
			`href="/hub/spawn-pending/gail"`}, []string{"Watch it start"}},
		"administrator": {"/hub/spawn-pending/gail", "dora",
			[]string{"gail&#39;s server waits for a GPU", "not to you"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			raw, err := io.ReadAll(h.do("GET", tt.target, tt.user).Body)
			if err != nil {
				t.Fatal(err)
			}
			body := string(raw)
			for _, want := range tt.want {
				if !strings.Contains(body, want) && !strings.Contains(strings.ToLower(body), strings.ToLower(want)) {
					t.Errorf("the page lacks %q", want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(body, not) {
					t.Errorf("the page has %q", not)
				}
			}
			if t.Failed() {
				t.Log(body)
			}
		})
	}
}

func TestStartWithoutGPUs(t *testing.T) {
	h := inQueue(t)
	if got := answer(h.post("/hub/spawn/gail", "gail", url.Values{"profile": {"gpu"},
		"without_gpus": {"1"}})); got != "See Other /hub/spawn-pending/gail" {
		t.Errorf("%s", got)
	}
	if got := answer(h.post("/hub/spawn/gail", "gail",
		url.Values{"profile": {"gpu"}})); got != "See Other /hub/spawn-pending/gail" {
		t.Errorf("%s", got)
	}
	if diff := cmp.Diff([]servers.Options{{WithoutGPUs: true}}, h.servers.options); diff != "" {
		t.Errorf("options: want(-) got(+):\n%s", diff)
	}
}

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Second: "ten minutes or less",
		24 * time.Minute: "about 20 minutes", time.Hour: "about an hour",
		89 * time.Minute: "about an hour", 100 * time.Minute: "about 2 hours", 47 * time.Hour: "about 47 hours",
		70 * time.Hour: "about 3 days"} {
		if got := about(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
