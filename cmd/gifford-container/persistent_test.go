package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// fakeImages answers from files beside it: "container" is the output of inspect.
const fakeImages = `#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>calls
case "$*" in
"container exists broken") echo "cannot open database" >&2; exit 125 ;;
"container exists "*) test -e container ;;
"container inspect "*) cat container ;;
"image inspect "*bad) exit 125 ;;
"image inspect "*) echo '{"Entrypoint":["tini","-g","--"],"Cmd":["start.sh","a b"]}' ;;
"stop "*) ;;
*) exit 1 ;;
esac
`

// TestKept checks whether the container is started or made, and with what.
func TestKept(t *testing.T) {
	made := []string{"--events-backend=file", "run", "--replace",
		"--label", contract.SettingsLabel + "=now", "--name", "c",
		"--entrypoint",
		`["/bin/sh","-c",". /run/jupyter/env \u0026\u0026 rm -f /run/jupyter/env \u0026\u0026 exec \"$@\"","sh"]`,
		"img", "tini", "-g", "--"}
	started := []string{"--events-backend=file", "start", "--attach", "--sig-proxy=false", "c"}
	tests := map[string]struct {
		container, name, image string
		payload                []string
		want                   []string
		said                   string
		status                 int
		exit                   bool // podman finds an exit status
	}{
		"none yet": {"", "c", "img", []string{"jupyterhub-singleuser", "--x"},
			append(made[:len(made):len(made)], "jupyterhub-singleuser", "--x"), "", 0, false},
		"image's command": {"", "c", "img", nil, append(made[:len(made):len(made)], "start.sh", "a b"), "", 0,
			false},
		"not ours": {id + " exited \n", "c", "img", []string{"x"}, append(made[:len(made):len(made)], "x"),
			"", 0, false},
		"kept":      {id + " exited now\n", "c", "img", nil, started, "", 0, false},
		"never ran": {id + " created now\n", "c", "img", nil, started, "", 0, false},
		"settings changed": {id + " exited then\n", "c", "img", nil, started,
			"settings of profile \"lab\" changed since this container was made; they apply after a reset", 0, false},
		"killed": {id + " stopping now\n", "c", "img", nil, started, "recording that it was killed", 0,
			true},
		"strange id": {"../../../x running now\n", "c", "img", nil, started, "recording that it was killed", 0,
			false},
		"podman fails":       {"", "broken", "img", nil, nil, "cannot open database", contract.ExitPodman, false},
		"image is not there": {"", "c", "bad", nil, nil, "cannot inspect the image bad", contract.ExitPodman, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("XDG_RUNTIME_DIR", dir)
			write := func(name, text string, mode os.FileMode) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Join(dir, "libpod/tmp/exits"), 0o700); err != nil {
				t.Fatal(err)
			}
			write("podman", fakeImages, 0o755)
			write("credential", "JUPYTERHUB_API_TOKEN=it's\n", 0o600)
			write("env", "export OLD='x'\n", 0o644)
			if tt.container != "" {
				write("container", tt.container, 0o644)
			}
			var out bytes.Buffer
			var got []string
			k := persistent{podman: filepath.Join(dir, "podman"), out: &out,
				become: func(args []string) error { got = args[1:]; return nil }}
			args := append([]string{"--name", tt.name, "--image", tt.image, "--profile", "lab", "--settings", "now",
				"--environment", filepath.Join(dir, "env"), "--", "--name", "c", "--"}, tt.payload...)
			if err := k.parse(args); err != nil {
				t.Fatal(err)
			}
			err := k.run(t.Context(), filepath.Join(dir, "credential"))
			var failed *failure
			status := 0
			if errors.As(err, &failed) {
				status = failed.status
				out.WriteString(hint.Text(err))
			}
			if status != tt.status || (err != nil) != (tt.status != 0) || !strings.Contains(out.String(), tt.said) ||
				tt.said == "" && out.Len() > 0 {
				t.Errorf("status %d, %v, said %q; want %d, %q", status, err, out.String(), tt.status, tt.said)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("podman's arguments: want(-) got(+):\n%s", diff)
			}
			env, err := os.ReadFile(filepath.Join(dir, "env"))
			info, err2 := os.Stat(filepath.Join(dir, "env"))
			if err != nil || err2 != nil || string(env) != `export JUPYTERHUB_API_TOKEN='it'\''s'`+"\n" ||
				info.Mode().Perm() != 0o600 {
				t.Errorf("environment handed over: %q, %v, %v", env, info.Mode(), err)
			}
			if _, err := os.Stat(filepath.Join(dir, "libpod/tmp/exits", id)); (err == nil) != tt.exit {
				t.Errorf("exit status left for podman: %v", err)
			}
		})
	}
}

// TestForget checks that podman is fixed where it asks for that.
func TestForget(t *testing.T) {
	tests := map[string]struct {
		script string
		status int
		calls  string
	}{
		"gone": {"exit 0", 0, "rm --force --ignore --time=0 -- a b\n"},
		"killed": {`if grep -q migrate calls; then exit 0; fi; echo 'try "podman system migrate"' >&2; exit 1`, 0,
			"rm --force --ignore --time=0 -- a b\nsystem migrate\nrm --force --ignore --time=0 -- a b\n"},
		"fails": {"echo no >&2; exit 125", contract.ExitPodman, "rm --force --ignore --time=0 -- a b\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			podman := filepath.Join(dir, "podman")
			script := "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$*\" >>calls\n" + tt.script + "\n"
			if err := os.WriteFile(podman, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			err := image{podman: podman, out: &bytes.Buffer{}}.remove(t.Context(), []string{"a", "b"})
			var failed *failure
			if (err != nil) != (tt.status != 0) || err != nil &&
				(!errors.As(err, &failed) || failed.status != tt.status) {
				t.Errorf("got %v", err)
			}
			calls, err := os.ReadFile(filepath.Join(dir, "calls"))
			if err != nil || string(calls) != tt.calls {
				t.Errorf("podman was called with\n%s%v", calls, err)
			}
		})
	}
}

// TestWaitMoved checks which control groups count as the server's.
func TestWaitMoved(t *testing.T) {
	tests := map[string]struct {
		groups string
		ok     bool
	}{
		"moved":         {"9:name=systemd:/\n0::/jupyter.slice/jupyter-alice.service/runtime\n", true},
		"not yet":       {"0::/system.slice/gifford-podman-alice-x.service\n", false},
		"another's":     {"0::/jupyter.slice/jupyter-alice.service.d/runtime\n", false},
		"old hierarchy": {"1:name=systemd:/jupyter.slice/jupyter-alice.service\n0::/\n", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cgroup")
			if err := os.WriteFile(file, []byte(tt.groups), 0o644); err != nil {
				t.Fatal(err)
			}
			in, err := inGroup(file, "jupyter-alice.service")
			if err != nil || in != tt.ok {
				t.Errorf("got %v, %v", in, err)
			}
		})
	}
}
