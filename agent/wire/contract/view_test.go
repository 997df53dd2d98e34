package contract

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestReadViewRequest checks that what the launcher writes is read back, and each refusal.
func TestReadViewRequest(t *testing.T) {
	good := ViewRequest{UID: 5001, GID: 5000, Mapping: MapImage, Image: "quay.io/a", Share: true, Persistent: "lab"}
	with := func(change func(*ViewRequest)) string {
		r := good
		change(&r)
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	tests := map[string]struct{ text, want string }{
		"good":            {with(func(*ViewRequest) {}), ""},
		"host":            {with(func(r *ViewRequest) { r.Mapping = MapHost }), ""},
		"not persistent":  {with(func(r *ViewRequest) { r.Persistent = "" }), ""},
		"root":            {with(func(r *ViewRequest) { r.UID = 0 }), "uid 0 is no member's"},
		"invalid uid":     {with(func(r *ViewRequest) { r.UID = 1<<32 - 1 }), "uid 4294967295 is no member's"},
		"root's group":    {with(func(r *ViewRequest) { r.GID = 0 }), "gid 0 is no member's"},
		"invalid gid":     {with(func(r *ViewRequest) { r.GID = 1<<32 - 1 }), "gid 4294967295 is no member's"},
		"mapping":         {with(func(r *ViewRequest) { r.Mapping = "root" }), `no mapping "root"`},
		"no mapping":      {with(func(r *ViewRequest) { r.Mapping = "" }), `no mapping ""`},
		"no image":        {with(func(r *ViewRequest) { r.Image = "" }), "names no image"},
		"profile, up":     {with(func(r *ViewRequest) { r.Persistent = ".." }), "no profile's name"},
		"profile, beside": {with(func(r *ViewRequest) { r.Persistent = "a/b" }), "no profile's name"},
		"unknown key":     {`{"uid":5001,"gid":5000,"mapping":"image","image":"a","x":1}`, "unknown field"},
		"two":             {with(func(*ViewRequest) {}) + "{}", "something follows"},
		"empty":           {"", "EOF"},
		"uid as text":     {`{"uid":"5001"}`, "cannot unmarshal"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ReadViewRequest([]byte(tt.text))
			switch {
			case tt.want == "" && (err != nil || got.UID != good.UID || got.Image != good.Image):
				t.Errorf("got %+v, %v", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || got != ViewRequest{}):
				t.Errorf("got %+v, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestStorageConf(t *testing.T) {
	const want = `# made by x
[storage]
driver = "overlay"
graphroot = "/g \"x\""
runroot = "/r"
# Rootless Podman takes its directory from here and its runroot from XDG_RUNTIME_DIR.
rootless_storage_path = "/g \"x\""
`
	if got := string(Storage{Graph: `/g "x"`, Run: "/r"}.Conf("x")); got != want {
		t.Errorf("got %s", got)
	}
	more := "\n[storage.options]\nadditionalimagestores = [\"/a\", \"/b\"]\n"
	both := Storage{Graph: `/g "x"`, Run: "/r", Additional: []string{"/a", "/b"}}
	if got := string(both.Conf("x")); got != want+more {
		t.Errorf("with additional stores: %s", got)
	}
}
