package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// fakePodman has the image once the file "there" exists beside it. "load" of an archive named good and every "pull" of
// good create the file.
const fakePodman = `#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>calls
case "$*" in
"image exists lost")
  if test -e fixed; then exit 0; fi
  echo 'level=error msg="invalid internal status, try resetting the pause process with \\"'\
'podman system migrate\\""' >&2; exit 1 ;;
"image exists stuck") echo 'try "podman system migrate"' >&2; exit 1 ;;
"system migrate") if grep -q stuck calls; then echo broken >&2; exit 125; fi; touch fixed ;;
"image exists "*) test -e there ;;
"load --quiet --input good") touch there; echo "Loaded image" ;;
"load --quiet --input other") echo "Loaded image: another" ;;
"pull --quiet good") touch there ;;
"pull --quiet slow") exec sleep 60 ;;
*) echo "Error: no" >&2; exit 125 ;;
esac
`

func TestGet(t *testing.T) {
	tests := map[string]struct {
		img    image
		there  bool
		status int
		want   string
	}{
		"there":      {image{ref: "good"}, true, 0, ""},
		"all killed": {image{ref: "lost"}, false, 0, "resetting its state"},
		"no fixing": {image{ref: "stuck"}, false, contract.ExitPodman,
			"cannot reset its state after its processes were killed: exit status 125: broken"},
		"load": {image{ref: "good", archive: "good"}, false, 0, "loading the image from good"},
		"other inside": {image{ref: "good", archive: "other"}, false, contract.ExitLoad,
			"does not hold an image \"good\""},
		"no archive": {image{ref: "good", archive: "none"}, false, contract.ExitLoad, "from none"},
		"pull":       {image{ref: "good", pull: contract.PullMissing}, false, 0, "pulling the image good"},
		"pull fails": {image{ref: "bad", pull: contract.PullMissing}, false, contract.ExitPull, "cannot pull image"},
		"pull too slow": {image{ref: "slow", pull: contract.PullMissing, timeout: 200 * time.Millisecond}, false,
			contract.ExitPull, "image_timeout in [profile.lab]"},
		"never": {image{ref: "good", pull: contract.PullNever}, false, contract.ExitNoImage,
			"profile \"lab\" does not allow pulling"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.img.podman = filepath.Join(dir, "podman")
			if err := os.WriteFile(tt.img.podman, []byte(fakePodman), 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.there {
				if err := os.WriteFile(filepath.Join(dir, "there"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			tt.img.out, tt.img.profile = &out, "lab"
			if tt.img.timeout == 0 {
				tt.img.timeout = time.Minute
			}
			err := tt.img.get(t.Context())
			var failed *failure
			status := 0
			if errors.As(err, &failed) {
				status = failed.status
			}
			text := out.String()
			if err != nil {
				text += hint.Text(err)
			}
			if status != tt.status || (err != nil) != (tt.status != 0) || !strings.Contains(text, tt.want) {
				t.Errorf("status %d, %v, output %q; want status %d and %q", status, err, out.String(), tt.status,
					tt.want)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	tests := map[string][]string{
		"none": {}, "unknown": {"rm"}, "no image": {"prepare"},
		"strange flag": {"prepare", "--image", "a", "--privileged"},
		"rest":         {"prepare", "--image", "a", "b"}, "no port": {"network", "--pidfile", "x"},
		"api": {"api", "--socket", "/x"}, "persistent": {"persistent", "--name", "x", "--"}, "remove": {"remove", "--"},
		"remove all": {"remove", "--all"}, "big port": {"network", "--pidfile", "x", "--port", "70000"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			var failed *failure
			if err := run(t.Context(), args); !errors.As(err, &failed) || failed.status != contract.ExitUsage {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOlderModes checks that a unit that the launcher of before has made finds its mode.
func TestOlderModes(t *testing.T) {
	for older, today := range map[string]string{"kept": "persistent", "forget": "remove", "usage": "disk-use"} {
		err := run(t.Context(), []string{older})
		if err == nil || !strings.HasPrefix(err.Error(), "cannot read the arguments of "+today+"\n") {
			t.Errorf("%s: %v", older, err)
		}
	}
}

// TestPasta checks that no port is opened.
func TestPasta(t *testing.T) {
	want := []string{"--config-net", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2", "--no-map-gw", "--dns-forward",
		"169.254.1.1", "--quiet", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "4242"}
	if diff := cmp.Diff(want, pastaArgs(4242)); diff != "" {
		t.Error(diff)
	}
}

func TestReadPID(t *testing.T) {
	tests := map[string]struct {
		text string
		want int
		ok   bool
	}{
		"plain": {"4242\n", 4242, true}, "empty": {"", 0, false}, "zero": {"0", 0, false}, "init": {"1", 0, false},
		"negative": {"-1", 0, false}, "words": {"x", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readPID(file)
			if (err == nil) != tt.ok || tt.ok && got != tt.want {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}
