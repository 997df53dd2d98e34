package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestValues checks for each kind of value the last that is taken and the first that is refused.
func TestValues(t *testing.T) {
	const host, images, subids, base = "[host]\n", "[images]\n", "[subids]\n", "[defaults]\n"
	group := strings.Repeat("g", 257)
	tests := map[string]struct{ section, good, bad string }{
		"cluster":               {host, `cluster = ""`, `cluster = "x"`},
		"cluster, root":         {host, `cluster = "/c"`, `cluster = "/"`},
		"cluster, shortest":     {host, `cluster = "/c/d"`, `cluster = "/c//d"`},
		"cluster, quote":        {host, `cluster = "/c'd"`, `cluster = "/c\"d"`},
		"cluster, comma":        {host, `cluster = "/c d"`, `cluster = "/c,d"`},
		"cluster, backslash":    {host, `cluster = "/c;d"`, `cluster = '/c\d'`},
		"cluster, control":      {host, `cluster = "/cé"`, `cluster = "/c\u0001"`},
		"cluster, delete":       {host, `cluster = "/c~"`, `cluster = "/c\u007f"`},
		"home":                  {host, `home = "/srv/{user}"`, `home = "/{user}"`},
		"home, not last":        {host, `home = "/srv/x/{user}"`, `home = "/srv/{user}/x"`},
		"home, relative":        {host, `home = "/s/{user}"`, `home = "s/{user}"`},
		"home, empty":           {host, `home = "/s/{user}"`, `home = ""`},
		"create_home":           {host, `create_home = true`, `create_home = 1`},
		"home_mode":             {host, `home_mode = "0777"`, `home_mode = "1000"`},
		"home_mode, digit":      {host, `home_mode = "7"`, `home_mode = "8"`},
		"umask, bare":           {host, `umask = 22`, `umask = 18`},
		"umask, list":           {host, `umask = "0"`, `umask = ["0"]`},
		"min_uid":               {host, `min_uid = 1`, `min_uid = 0`},
		"min_uid, last":         {host, `min_uid = 4294967295`, `min_uid = 4294967296`},
		"hub_api_port":          {host, `hub_api_port = 1`, `hub_api_port = 0`},
		"hub_api_port, last":    {host, `hub_api_port = 65535`, `hub_api_port = 65536`},
		"deny_users":            {host, `deny_users = ["a.b"]`, `deny_users = ["a b"]`},
		"deny_users, number":    {host, `deny_users = []`, `deny_users = [5]`},
		"unix_groups, blank":    {host, `unix_groups = ["domain users"]`, `unix_groups = [" users"]`},
		"unix_groups, option":   {host, `unix_groups = ["s-"]`, `unix_groups = ["-s"]`},
		"unix_groups, gid":      {host, `unix_groups = ["7up"]`, `unix_groups = ["7"]`},
		"unix_groups, number":   {host, `unix_groups = ["a"]`, `unix_groups = [7]`},
		"unix_groups, length":   {host, `unix_groups = ["` + group[1:] + `"]`, `unix_groups = ["` + group + `"]`},
		"public":                {base, `public = ["a"]`, `public = "a"`},
		"public, root":          {base, `public = ["a/b"]`, `public = ["/"]`},
		"public, absolute":      {base, `public = ["a/b"]`, `public = ["/a/b"]`},
		"public, empty":         {base, `public = []`, `public = [""]`},
		"public, up":            {base, `public = ["a/b.c"]`, `public = ["a/.."]`},
		"public, hidden":        {base, `public = ["a/~b"]`, `public = ["a/.b"]`},
		"public, escaped":       {base, `public = ["a"]`, `public = ["a%2fb"]`},
		"public, twice":         {base, `public = ["a/b"]`, `public = ["a//b"]`},
		"public, end":           {base, `public = ["a"]`, `public = ["a/"]`},
		"usage_time":            {host, `usage_time = "1s"`, `usage_time = "999ms"`},
		"usage_time, last":      {host, `usage_time = "24h"`, `usage_time = "24h1ns"`},
		"usage_time, unit":      {host, `usage_time = "90s"`, `usage_time = 90`},
		"first":                 {subids, `first = 1`, `first = 0`},
		"count":                 {subids, `count = 2000`, `count = 1999`},
		"count, last":           {subids, "first = 1\ncount = 4294967293", "first = 1\ncount = 4294967294"},
		"count, too high":       {subids, "first = 1\ncount = 2000", "count = 4294967295\nfirst = 1"},
		"share":                 {images, `share = false`, `share = "no"`},
		"allow":                 {images, `allow = ["quay.io/*"]`, `allow = [""]`},
		"allow, pattern":        {images, `allow = ["[a]"]`, `allow = ["[a"]`},
		"allow, control":        {images, `allow = ["a"]`, `allow = ["a\n"]`},
		"keep_former":           {images, `keep_former = 0`, `keep_former = -1`},
		"min_free":              {images, `min_free = "1"`, `min_free = "0"`},
		"pull_timeout":          {images, `pull_timeout = "1s"`, `pull_timeout = "0s"`},
		"pull_timeout, longest": {images, `pull_timeout = "24h"`, `pull_timeout = "25h"`},
		"min_free, unit":        {images, `min_free = "1T"`, `min_free = "1P"`},
		"min_free, percent":     {images, `min_free = "1K"`, `min_free = "1%"`},
		"min_free, largest":     {images, `min_free = "16777214T"`, `min_free = "16777215T"`},
		"max_per_user":          {"[gpus]\n", `max_per_user = 1`, `max_per_user = 0`},
		"max_per_user, text":    {"[gpus]\n", `max_per_user = "infinity"`, `max_per_user = "many"`},
		"pull":                  {base, `pull = "never"`, `pull = ""`},
		"command":               {base, `command = []`, `command = ["a\u0000"]`},
		"args":                  {base, `args = [1, true, "x"]`, `args = [["x"]]`},
		"args, text":            {base, `args = ["x"]`, `args = "x"`},
		"user_mapping":          {base, `user_mapping = "host"`, `user_mapping = "root"`},
		"allow_sudo":            {base, `allow_sudo = false`, `allow_sudo = "no"`},
		"env":                   {base, `env = { _a9 = 4 }`, `env = { 9a = "x" }`},
		"env, hub's":            {base, `env = { JUPYTER_X = "" }`, `env = { JUPYTERHUB_X = "" }`},
		"env, token":            {base, `env = { JPY_API = "" }`, `env = { JPY_API_TOKEN = "" }`},
		"env, control":          {base, `env = { A = "a b" }`, `env = { A = "a\tb" }`},
		"env, date":             {base, `env = { A = 1.5, B = false }`, `env = { A = 2020-01-01 }`},
		"env, list":             {base, `env = {}`, `env = []`},
		"notebook_dir":          {base, `notebook_dir = "{home}/a"`, `notebook_dir = "{home}a"`},
		"notebook_dir, home":    {base, `notebook_dir = "{home}"`, `notebook_dir = "{home}/"`},
		"notebook_dir, up":      {base, `notebook_dir = "/a/{user}"`, `notebook_dir = "{home}/../x"`},
		"notebook_dir, comma":   {base, `notebook_dir = ""`, `notebook_dir = "{home}/a,b"`},
		"notebook_dir, other":   {base, `notebook_dir = "/a"`, `notebook_dir = "a"`},
		"default_url":           {base, `default_url = "/lab"`, `default_url = "lab"`},
		"default_url, control":  {base, `default_url = ""`, `default_url = "/lab\n"`},
		"cpu_quota":             {base, `cpu_quota = "1%"`, `cpu_quota = "0%"`},
		"cpu_quota, unit":       {base, `cpu_quota = "infinity"`, `cpu_quota = "1"`},
		"tasks_max":             {base, `tasks_max = "5"`, `tasks_max = "5K"`},
		"memory_max":            {base, `memory_max = 5`, `memory_max = 5.5`},
		"persistent":            {base, `persistent = true`, `persistent = 1`},
		"gpus":                  {base, `gpus = 64`, `gpus = 65`},
		"gpus, text":            {base, `gpus = "all"`, `gpus = "none"`},
		"gpu_kind, slashes":     {base, "gpu_kind = \"a/b\"", `gpu_kind = "a/b/c"`},
		"gpu_kind, comma":       {base, "gpu_kind = \"a/b=*\"", `gpu_kind = "a/b,c"`},
		"gpu_kind, blank":       {base, "gpu_kind = \"a/[bc]\"", `gpu_kind = "a/b c"`},
		"gpu_kind, control":     {base, "gpu_kind = \"a/é\"", `gpu_kind = "a/\u0001"`},
		"gpu_memory":            {base, "gpu_memory = \"1M\"", `gpu_memory = "infinity"`},
		"gpu_memory, number":    {base, "gpu_memory = 1", `gpu_memory = 0`},
		"gpu_model":             {base, "gpu_model = \"A 100\"", `gpu_model = ""`},
		"gpu_model, control":    {base, "gpu_model = \"*\"", `gpu_model = "a\n"`},
		"image":                 {"[profile.b]\n", `image = "a:b@c"`, `image = ":b"`},
		"image, transport":      {"[profile.b]\n", `image = "a/b"`, `image = "dir:/x"`},
		"image, slashes":        {"[profile.b]\n", `image = "a.b/c"`, `image = "a//c"`},
		"image, blank":          {"[profile.b]\n", `image = "a_b"`, `image = "a b"`},
		"image, empty":          {"[profile.b]\n", `image = "a"`, `image = ""`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rest := "\n[profile.a]\nimage = \"a\"\ndefault = true\n"
			if strings.HasPrefix(tt.section, "[profile") {
				rest = "\n" + rest
			}
			if _, err := Parse("f", []byte(tt.section+tt.good+rest)); err != nil {
				t.Errorf("%s is refused: %v", tt.good, err)
			}
			key, _, _ := strings.Cut(tt.bad, " ")
			_, err := Parse("f", []byte(tt.section+tt.bad+rest))
			if err == nil || !strings.Contains(err.Error(), key) || !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("%s: %v", tt.bad, err)
			}
		})
	}
}

// TestMeaning checks what values become.
func TestMeaning(t *testing.T) {
	p := mustParse(t, `
[host]
home_mode = "0750"
umask = 27
usage_time = "90s"
deny_users = ["mallory"]
unix_groups = ["domain users"]
[images]
share = false
allow = ["quay.io/*"]
keep_former = 7
min_free = "3K"
pull_timeout = "3h"
[subids]
first = 600000
count = 2000
[profile.a]
image = "a"
memory_high = "2T"
cpu_quota = "250%"
start_timeout = "1m"
image_timeout = "2m"
stop_timeout = "3m"
default_url = "/tree"
notebook_dir = "{home}/{user}/x"
allow_sudo = false
persistent = true
user_mapping = "host"
network = "isolated"
public = ["files/public", "voila/render/a.ipynb"]
env = { A = 4, B = 1.5, C = true }
`)
	q := p.Profiles[0]
	alice, err := ident.ParseUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"home_mode": p.Host.HomeMode == 0o750, "umask": p.Host.UMask == 0o27,
		"usage_time": p.Host.UsageTime == 90*time.Second, "deny_users": p.Host.DenyUsers[0].String() == "mallory",
		"unix_groups": p.Host.UnixGroups[0] == "domain users", "share": !p.Images.Share,
		"allow": p.Images.Allow[0] == "quay.io/*", "keep_former": p.Images.KeepFormer == 7,
		"pull_timeout": p.Images.PullTimeout == 3*time.Hour,
		"min_free":     p.Images.MinFree == 3<<10, "first": p.SubIDs.First == 600000, "count": p.SubIDs.Count == 2000,
		"memory_high": q.MemoryHigh == 2<<40, "memory_max": q.MemoryMax == Infinity,
		"cpu_quota":     q.CPUQuota == 2_500_000,
		"start_timeout": q.StartTimeout == time.Minute, "image_timeout": q.ImageTimeout == 2*time.Minute,
		"stop_timeout": q.StopTimeout == 3*time.Minute, "default_url": q.DefaultURL == "/tree",
		"notebook_dir": q.NotebookDirOf(alice, "/h") == "/h/alice/x", "allow_sudo": !q.AllowSudo,
		"persistent": q.Persistent, "user_mapping": q.UserMapping == MapHost,
		"network": q.Network == NetworkIsolated, "public": strings.Join(q.Public,
			" ") == "files/public voila/render/a.ipynb",
		"env": q.Env["A"]+q.Env["B"]+q.Env["C"] == "41.5true", "display_name": q.DisplayName == "a",
		"home": (Profile{}).NotebookDirOf(alice, "/h") == "/h",
	} {
		if !ok {
			t.Errorf("%s: %+v %+v", name, p, q)
		}
	}
}

// TestBounds checks the rules of who may have a server at their edges.
func TestBounds(t *testing.T) {
	p := mustParse(t, "[host]\nmin_uid = 1000\n"+smallest)
	user, err := ident.ParseUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	for uid, ok := range map[uint32]bool{999: false, 1000: true, 1001: true} {
		if err := p.Admit(Person{User: user, UID: uid}); (err == nil) != ok {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
	_, err = p.Permit(Person{User: user, UID: 1000}, "x")
	if r, ok := err.(*Refusal); !ok || !r.Unknown {
		t.Errorf("an unknown profile: %#v", err)
	}
	if err := p.Admit(Person{User: user, UID: 1}); err == nil {
		t.Error("a system account is admitted")
	} else if r, ok := err.(*Refusal); !ok || r.Unknown {
		t.Errorf("a refused account: %#v", err)
	}
}

// TestAllProblems checks that the problems of a file are reported together, in the order of lines.
func TestAllProblems(t *testing.T) {
	_, err := Parse("f", []byte("[host]\nmin_uid = 0\numask = 9\n[profile.\"A\"]\n[profile.a]\nx = 1\n"))
	want := []string{"f:2: host.min_uid: ", "f:3: host.umask: ", "f:4: profile.A: expected a name",
		"f:6: profile.a.x: "}
	lines := strings.Split(err.Error(), "\n")
	for i, w := range want {
		if len(lines) != len(want) || !strings.HasPrefix(lines[i], w) {
			t.Fatalf("got %q, want %q", lines, want)
		}
	}
	_, err = Parse("f", []byte("[gpus.group.x]\n[profile.b]\n[profile.a]\n[[mount]]\n"))
	for i, w := range []string{"f:1: gpus.group.x: it limits", "f:2: profile: write default", "f:2: profile.b.image",
		"f:3: profile.a.image: it is missing", "f:4: mount: each"} {
		if got := strings.Split(err.Error(), "\n"); len(got) != 5 || !strings.HasPrefix(got[i], w) {
			t.Fatalf("problem %d of %q, want %q", i, got, w)
		}
	}
}
