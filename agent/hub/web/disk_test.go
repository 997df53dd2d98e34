package web

import (
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// fakeDisks has measured alice alone.
type fakeDisks struct{ low bool }

func (fakeDisks) Of(u ident.User) (backend.DiskUse, bool) {
	return backend.DiskUse{Measured: now.Add(-2 * time.Hour),
		Home:    backend.Tree{Bytes: 12_300_000_000, Unread: 1},
		Storage: backend.Tree{Bytes: 400_000_000}}, u == aliceKey.User
}

func (f fakeDisks) Places() []disk.Place {
	return []disk.Place{{Path: "/cluster", Free: 1_000_000_000, Total: 100_000_000_000, Low: f.low},
		{Path: "/var", Free: 50, Total: 100}}
}

func (f fakeDisks) LowFor(ident.User) []disk.Place { return f.Places() }

// TestDisk checks what whom is told of disks.
func TestDisk(t *testing.T) {
	const usage, warning = "Your files take 12.3 GB; changes in containers 400.0 MB; measured", "Little space is left"
	tests := map[string]struct {
		disks disks
		user  string
		page  string
		want  []string
		never []string
	}{
		"no disks": {nil, "alice", "/hub/home", nil, []string{"Your files take", warning}},
		"measured": {fakeDisks{}, "alice", "/hub/home", []string{usage, "2 hours ago", "could not be read"},
			[]string{warning}},
		"never measured": {fakeDisks{}, "bob", "/hub/home", nil, []string{"Your files take", warning}},
		"little space": {fakeDisks{low: true}, "bob", "/hub/home",
			[]string{warning, "/cluster", "1.0 GB of 100.0 GB"}, []string{"/var"}},
		"administration": {fakeDisks{low: true}, "dora", "/hub/admin",
			[]string{"12.3 GB+", "400.0 MB", warning, "Containers"}, []string{"/var"}},
		"without disks":    {nil, "dora", "/hub/admin", nil, []string{"Containers", warning}},
		"with enough left": {fakeDisks{}, "dora", "/hub/admin", []string{"12.3 GB+"}, []string{warning}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, func(c *setup) { c.Disk = tt.disks })
			body := body(t, h.do("GET", tt.page, tt.user))
			body = strings.ReplaceAll(body, "\u00a0", " ")
			for _, word := range tt.want {
				if !strings.Contains(body, word) {
					t.Errorf("%q is not there", word)
				}
			}
			for _, word := range tt.never {
				if strings.Contains(body, word) {
					t.Errorf("%q is there", word)
				}
			}
		})
	}
}
