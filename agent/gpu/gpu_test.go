package gpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// spec writes a specification with devices of the form "name:node,node".
func spec(kind string, devices ...string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "cdiVersion: 0.5.0\nkind: %s\ndevices:\n", kind)
	for _, d := range devices {
		name, nodes, _ := strings.Cut(d, "|")
		fmt.Fprintf(&s, "- name: %q\n  containerEdits:\n    env: [\"X=1\"]\n", name)
		if nodes != "" {
			s.WriteString("    deviceNodes:\n")
			for _, n := range strings.Fields(nodes) {
				fmt.Fprintf(&s, "    - path: %s\n", n)
			}
		}
	}
	s.WriteString("containerEdits:\n  deviceNodes:\n  - path: /dev/nvidiactl\n")
	return s.String()
}

func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// show is a device in one line.
func show(d Device) string {
	return strings.TrimSpace(strings.Join(append([]string{d.Name}, d.Aliases...), " = ") + " " +
		strings.Join(d.Nodes, " "))
}

func TestRead(t *testing.T) {
	const gpus = "nvidia.com/gpu"
	tests := map[string]struct {
		files map[string]string
		want  []string
	}{
		"nothing": {nil, nil},
		"natural order": {map[string]string{"a.yaml": spec(gpus, "10|/dev/nvidia10", "2|/dev/nvidia2",
			"1|/dev/nvidia1 /dev/nvidiactl")},
			[]string{"nvidia.com/gpu=1 /dev/nvidia1", "nvidia.com/gpu=2 /dev/nvidia2",
				"nvidia.com/gpu=10 /dev/nvidia10"}},
		"names of the same, and a group": {map[string]string{"a.yaml": spec(gpus, "all|/dev/nvidia0 /dev/nvidia1",
			"GPU-aa|/dev/nvidia0", "0|/dev/nvidia0", "1|/dev/nvidia1")},
			[]string{"nvidia.com/gpu=0 = nvidia.com/gpu=GPU-aa /dev/nvidia0", "nvidia.com/gpu=1 /dev/nvidia1"}},
		"all is one": {map[string]string{"a.yaml": spec(gpus, "all|/dev/nvidia0", "GPU-aaaa|/dev/nvidia0")},
			[]string{"nvidia.com/gpu=GPU-aaaa = nvidia.com/gpu=all /dev/nvidia0"}},
		"instances": {map[string]string{"a.yaml": spec(gpus, "0:0|/dev/nvidia0 /dev/nvidia-caps/nvidia-cap3",
			"0:1|/dev/nvidia0 /dev/nvidia-caps/nvidia-cap4",
			"all|/dev/nvidia0 /dev/nvidia-caps/nvidia-cap3 /dev/nvidia-caps/nvidia-cap4")},
			[]string{"nvidia.com/gpu=0:0 /dev/nvidia-caps/nvidia-cap3 /dev/nvidia0",
				"nvidia.com/gpu=0:1 /dev/nvidia-caps/nvidia-cap4 /dev/nvidia0"}},
		"instance and its GPU": {map[string]string{"a.yaml": spec(gpus, "0|/dev/nvidia0",
			"0:0|/dev/nvidia0 /dev/nvidia-caps/nvidia-cap3")},
			[]string{"nvidia.com/gpu=0 /dev/nvidia0", "nvidia.com/gpu=0:0 /dev/nvidia-caps/nvidia-cap3 /dev/nvidia0"}},
		"paths written in other ways": {map[string]string{"a.yaml": spec(gpus, "0|/dev/nvidia0", "first|/dev//nvidia0",
			"second|/dev/dri/../nvidia0 /dev//nvidiactl")},
			[]string{"nvidia.com/gpu=0 = nvidia.com/gpu=first = nvidia.com/gpu=second /dev/nvidia0"}},
		"other vendor, JSON": {map[string]string{"a.json": `{"cdiVersion":"0.6.0","kind":"amd.com/gpu",
			"devices":[{"name":"0","containerEdits":{"deviceNodes":[
			{"path":"/dev/kfd"},{"path":"/dev/dri/renderD128","hostPath":"/dev/dri/renderD128"}]}}]}`},
			[]string{"amd.com/gpu=0 /dev/dri/renderD128"}},
		"no nodes": {map[string]string{"a.yaml": spec("lab.example/licence", "a", "b")},
			[]string{"lab.example/licence=a", "lab.example/licence=b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inv := Read(directory(t, tt.files))
			var got []string
			for _, d := range inv.Devices {
				got = append(got, show(d))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || len(inv.Broken) > 0 {
				t.Errorf("broken %v; devices (-want +got):\n%s", inv.Broken, diff)
			}
		})
	}
}

// TestBroken checks that the reader names a specification that it cannot use, and that the others count.
func TestBroken(t *testing.T) {
	good := spec("nvidia.com/gpu", "0|/dev/nvidia0")
	tests := map[string]struct{ file, text string }{
		"not YAML":   {"bad.yaml", "{{{"},
		"no version": {"bad.yaml", "kind: a.com/bee\ndevices: [{name: x, containerEdits: {env: [A=1]}}]"},
		"later": {"bad.json",
			`{"cdiVersion":"99.0.0","kind":"a.com/bee","devices":[{"name":"x","containerEdits":{"env":["A=1"]}}]}`},
		"bad kind":     {"bad.yaml", spec("no kind at all", "0|/dev/x")},
		"bad name":     {"bad.yaml", spec("a.com/bee", "a b\\n|/dev/x")},
		"unknown key":  {"bad.yaml", spec("a.com/bee", "0|/dev/x") + "wrong: 1\n"},
		"name twice":   {"bad.yaml", spec("a.com/bee", "0|/dev/x", "0|/dev/y")},
		"empty":        {"bad.yaml", ""},
		"a bare list":  {"bad.json", "[1,2]"},
		"one letter":   {"bad.yaml", spec("a/b", "0|/dev/x")}, // the library panics
		"long name":    {"bad.yaml", spec("a.com/bee", strings.Repeat("x", maxName)+"|/dev/x")},
		"long kind":    {"bad.yaml", spec("a.com/"+strings.Repeat("b", 1<<20)+"!", "0|/dev/x")},
		"many":         {"bad.yaml", spec("a.com/bee", numbered(maxDevices+1)...)},
		"odd file":     {"bad\xff.yaml", "{{{"},
		"null devices": {"bad.json", `{"cdiVersion":"0.5.0","kind":"a.com/bee","devices":[null]}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := directory(t, map[string]string{"good.yaml": good, tt.file: tt.text})
			inv := Read(dir)
			if len(inv.Broken) == 0 || inv.Broken[0].File != filepath.Join(dir,
				strings.ToValidUTF8(tt.file, "\uFFFD")) ||
				!fit(inv.Broken[0].Reason) {
				t.Errorf("broken: %.2000q", inv.Broken)
			}
			if len(inv.Devices) != 1 || inv.Devices[0].Name != "nvidia.com/gpu=0" {
				t.Errorf("devices: %v", inv.Devices)
			}
		})
	}
}

// numbered returns n devices for spec.
func numbered(n int) (devices []string) {
	for i := range n {
		devices = append(devices, fmt.Sprintf("%d|/dev/x%d", i, i))
	}
	return devices
}

// fit reports whether a text can be sent over D-Bus and is a single line.
func fit(text string) bool {
	return text != "" && utf8.RuneCountInString(text) <= maxReason && utf8.ValidString(text) &&
		!strings.ContainsAny(text, "\n\r\t")
}

// TestDirectories checks which directory counts, and directories that cannot be read.
func TestDirectories(t *testing.T) {
	etc := directory(t, map[string]string{"a.yaml": spec("nvidia.com/gpu", "0|/dev/old")})
	run := directory(t, map[string]string{"b.yaml": spec("nvidia.com/gpu", "0|/dev/new")})
	inv := Read(etc, run, "/no/such/directory")
	if len(inv.Broken) != 0 || len(inv.Devices) != 1 || show(inv.Devices[0]) != "nvidia.com/gpu=0 /dev/new" {
		t.Errorf("two directories: %+v", inv)
	}
	same := directory(t, map[string]string{"a.yaml": spec("nvidia.com/gpu", "0|/dev/a"),
		"b.yaml": spec("nvidia.com/gpu", "0|/dev/b", "1|/dev/c")})
	inv = Read(same)
	if len(inv.Broken) == 0 || !strings.Contains(inv.Broken[0].Reason, "nvidia.com/gpu=0") || len(inv.Devices) != 1 ||
		inv.Devices[0].Name != "nvidia.com/gpu=1" {
		t.Errorf("a name in two files of a directory: %+v", inv)
	}
	large := directory(t, map[string]string{"a.yaml": strings.Repeat("#", maxSpec+1)})
	inv = Read(etc, large)
	if len(inv.Broken) != 1 || inv.Broken[0].File != filepath.Join(large, "a.yaml") || len(inv.Devices) != 1 {
		t.Errorf("a file that is too large: %+v", inv)
	}
	if inv := Read(); len(inv.Devices)+len(inv.Broken) != 0 {
		t.Errorf("no directory: %+v", inv)
	}
}

func TestOverlaps(t *testing.T) {
	device := func(nodes ...string) Device { return Device{Name: "x/y=" + strings.Join(nodes, ""), Nodes: nodes} }
	const gpu, one, two = "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap1", "/dev/nvidia-caps/nvidia-cap2"
	tests := map[string]struct {
		a, b Device
		want bool
	}{
		"same name":        {Device{Name: "a"}, Device{Name: "a"}, true},
		"no nodes":         {Device{Name: "a"}, Device{Name: "b"}, false},
		"other":            {device("/dev/a"), device("/dev/b"), false},
		"one in common":    {device("/dev/a", "/dev/b"), device("/dev/b", "/dev/c"), true},
		"instances":        {device(one, gpu), device(two, gpu), false},
		"same instance":    {device(one, gpu), device(gpu, one, two), true},
		"GPU and instance": {device(gpu), device(two, gpu), true},
	}
	for name, tt := range tests {
		if tt.a.Overlaps(tt.b) != tt.want || tt.b.Overlaps(tt.a) != tt.want {
			t.Errorf("%s: not %v", name, tt.want)
		}
	}
}

func TestReadState(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	if s, err := ReadState(file); err != nil || len(s.Devices) != 0 {
		t.Errorf("no file: %v, %v", s, err)
	}
	write := func(measured time.Time) {
		text := fmt.Sprintf(`{"measured":%q,"tools":[{"name":"nvidia-smi"}],"devices":[
			{"node":"/dev/nvidia0","uuid":"GPU-aa","model":"H100","memory":85899345920,"now":{"known":true,"busy":0.5,"memory":1},"processes":[{"pid":1}]},
			{"node":"/dev/nvidia1","model":"A100"},{"node":"/dev/nvidia1","part":"1:0","model":"A100 1g"}]}`,
			measured.Format(time.RFC3339Nano))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(time.Now())
	s, err := ReadState(file)
	if err != nil || !s.Devices[0].Now.Known || len(s.Devices[0].Processes) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	for device, want := range map[string]string{"GPU-aa|": "H100", "0|/dev/nvidia0": "H100", "1|/dev/nvidia1": "A100",
		"1:0|/dev/nvidia-caps/nvidia-cap1 /dev/nvidia1": "A100 1g",
		"1:1|/dev/nvidia-caps/nvidia-cap2 /dev/nvidia1": "", "2|/dev/nvidia2": ""} {
		name, nodes, _ := strings.Cut(device, "|")
		if f, ok := s.Of(Device{Name: "nvidia.com/gpu=" + name, Nodes: strings.Fields(nodes)}); f.Model != want ||
			ok != (want != "") {
			t.Errorf("%s is %+v", device, f)
		}
	}
	write(time.Now().Add(-time.Hour))
	if s, err := ReadState(file); err != nil || s.Devices[0].Now.Known || s.Devices[0].Processes != nil ||
		s.Devices[0].Model != "H100" || !s.Measured.IsZero() {
		t.Errorf("an old file: %+v, %v", s, err)
	}
	for name, text := range map[string]string{"no JSON": "x", "too large": strings.Repeat(" ", maxState+1),
		"another shape": `{"devices":{}}`} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadState(file); err == nil || !strings.Contains(err.Error(),
			"cannot read the state of the GPUs") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHostileState replaces the file with whatever the account of gifford-gpus could put there. Root reads it at every
// start with GPUs. Root must not wait, follow a link or trust another account's file.
func TestHostileState(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target.json")
	if err := os.WriteFile(target, []byte(`{"tools":[{"name":"x"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(file string) error{
		"FIFO":         func(file string) error { return syscall.Mkfifo(file, 0o644) },
		"link":         func(file string) error { return os.Symlink(target, file) },
		"broken link":  func(file string) error { return os.Symlink("/no/such/file", file) },
		"directory":    func(file string) error { return os.Mkdir(file, 0o755) },
		"device":       func(file string) error { return os.Symlink("/dev/zero", file) },
		"not readable": func(file string) error { return os.Symlink(file, file) },
		"another's": func(file string) error {
			if os.Getuid() != 0 {
				return os.Symlink(target, file) // only root can give a file away
			}
			return errors.Join(os.WriteFile(file, []byte("{}"), 0o644), os.Chown(file, 4242, -1))
		},
	}
	for name, put := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.json")
			if err := put(file); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				s, err := ReadState(file)
				if len(s.Tools)+len(s.Devices) > 0 {
					err = nil
				}
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), "cannot read the state of the GPUs") {
					t.Errorf("it is believed: %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("it blocks")
			}
		})
	}
}

// TestStateOwners checks that only root's files and those of the directory's owner are accepted.
func TestStateOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	for name, tt := range map[string]struct {
		directory, file int
		ok              bool
	}{
		"the watcher's": {4242, 4242, true}, "root's": {4242, 0, true}, "another's": {4242, 4243, false},
		"in root's": {0, 4242, false},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "state.json")
		if err := errors.Join(os.WriteFile(file, []byte("{}"), 0o644), os.Chown(file, tt.file, -1),
			os.Chown(dir, tt.directory, -1)); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadState(file); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGenerated reads specifications in the form that the vendors' generators write.
func TestGenerated(t *testing.T) {
	inv := Read("testdata")
	var got []string
	for _, d := range inv.Devices {
		got = append(got, show(d))
	}
	want := []string{
		"amd.com/gpu=0 /dev/dri/card0 /dev/dri/renderD130", "amd.com/gpu=1 /dev/dri/card3 /dev/dri/renderD131",
		"nvidia.com/gpu=0 = nvidia.com/gpu=GPU-0a1b2c3d-0000-0000-0000-000000000001 /dev/dri/card1 " +
			"/dev/dri/renderD128 /dev/nvidia0",
		"nvidia.com/gpu=1 = nvidia.com/gpu=GPU-0a1b2c3d-0000-0000-0000-000000000002 /dev/dri/card2 " +
			"/dev/dri/renderD129 /dev/nvidia1",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(inv.Broken) > 0 {
		t.Errorf("broken %v; devices (-want +got):\n%s", inv.Broken, diff)
	}
}
