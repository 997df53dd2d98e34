package view

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
)

// TestCombine has the store of account 990 with subordinate ids from 600000 on and a
// member 5002 with some from 165536 on, who is 1000 in the container: what Podman records for that
// keep-id was seen with Podman 4.3 and 5.4.
func TestCombine(t *testing.T) {
	keeper := IDMap{{0, 600000, 65536}}
	tests := map[string]struct {
		member       IDMap
		memberID     uint32
		inner        uint32
		wantMount    IDMap
		wantMetadata []imagestore.Map
	}{
		"image": {
			member: IDMap{{0, 165536, 65536}}, memberID: 5002, inner: 1000,
			wantMount: IDMap{{990, 165536, 1}, {600000, 165537, 999}, {600999, 5002, 1}, {601000, 166536, 64536}},
			wantMetadata: []imagestore.Map{{ContainerID: 0, HostID: 1, Size: 1000},
				{ContainerID: 1000, HostID: 0, Size: 1}, {ContainerID: 1001, HostID: 1001, Size: 64536}},
		},
		"host": {
			member: IDMap{{0, 165536, 65536}}, memberID: 5002, inner: 5002,
			wantMount: IDMap{{990, 165536, 1}, {600000, 165537, 5001}, {605001, 5002, 1}, {605002, 170538, 60534}},
			wantMetadata: []imagestore.Map{{ContainerID: 0, HostID: 1, Size: 5002},
				{ContainerID: 5002, HostID: 0, Size: 1}, {ContainerID: 5003, HostID: 5003, Size: 60534}},
		},
		"two ranges": {
			member: IDMap{{0, 165536, 500}, {0, 300000, 65036}}, memberID: 5002, inner: 1000,
			wantMount: IDMap{{990, 165536, 1}, {600000, 165537, 499}, {600499, 300000, 500}, {600999, 5002, 1},
				{601000, 300500, 64536}},
			wantMetadata: []imagestore.Map{{ContainerID: 0, HostID: 1, Size: 1000},
				{ContainerID: 1000, HostID: 0, Size: 1}, {ContainerID: 1001, HostID: 1001, Size: 64536}},
		},
		"as many ids as the member's own": {
			member: IDMap{{0, 165536, 65536}}, memberID: 5002, inner: 65536,
			wantMount: IDMap{{990, 165536, 1}, {600000, 165537, 65535}, {665535, 5002, 1}},
			wantMetadata: []imagestore.Map{{ContainerID: 0, HostID: 1, Size: 65536},
				{ContainerID: 65536, HostID: 0, Size: 1}},
		},
		"fewer ids than the member's own": {
			member: IDMap{{0, 165536, 65536}}, memberID: 200000, inner: 200000,
			wantMount: IDMap{{990, 165536, 1}, {600000, 165537, 65535}},
			wantMetadata: []imagestore.Map{{ContainerID: 0, HostID: 1, Size: 65536},
				{ContainerID: 200000, HostID: 0, Size: 1}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := combine(keeper, tt.member, 990, tt.memberID, tt.inner)
			if diff := cmp.Diff(tt.wantMount, got.mount); diff != "" {
				t.Errorf("mount (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantMetadata, got.storage); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSubordinate(t *testing.T) {
	tests := map[string]struct {
		text    string
		want    IDMap
		wantErr string
	}{
		"by name": {text: "bob:100000:65536\nalice:165536:65536\n", want: IDMap{{0, 165536, 65536}}},
		"by uid":  {text: "5001:165536:65536\n50011:1:1\n", want: IDMap{{0, 165536, 65536}}},
		"sorted": {text: "alice:300000:10\nalice:200000:10\n",
			want: IDMap{{0, 200000, 10}, {0, 300000, 10}}},
		"none":              {text: "# alice:1:1\nbob:100000:65536\n", wantErr: "alice has no subordinate ids"},
		"not a number":      {text: "alice:x:65536\n", wantErr: `cannot read "alice:x:65536"`},
		"count no number":   {text: "alice:1:x\n", wantErr: `cannot read "alice:1:x"`},
		"none of them":      {text: "alice:1:0\n", wantErr: `cannot read "alice:1:0"`},
		"up to the last":    {text: "alice:4294967290:5\n", want: IDMap{{0, 4294967290, 5}}},
		"a long line":       {text: "#" + strings.Repeat("x", 1<<17) + "\n", wantErr: "token too long"},
		"past the last one": {text: "alice:4294967290:65536\n", wantErr: "cannot read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := subordinate(strings.NewReader(tt.text), "alice", 5001)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("the error is %v, want %q", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
		})
	}
}
