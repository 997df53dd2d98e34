package unit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestShellEnv has a shell read what ShellEnv wrote: every value must come back as it was,
// and nothing of it may run.
func TestShellEnv(t *testing.T) {
	values := map[string]string{
		"JUPYTERHUB_API_TOKEN": "abc", "JUPYTERHUB_A": "it's $HOME `id` \"x\" \\ ; exit 3", "JUPYTERHUB_B": "'",
		"JUPYTERHUB_C": "a=b", "JUPYTERHUB_D": "",
		"JUPYTERHUB_E": "$(touch ran)",
	}
	var file strings.Builder
	for name, v := range values {
		fmt.Fprintf(&file, "%s=%s\n", name, v)
	}
	file.WriteString("A B=x\n1A=x\n$(touch ran)=x\nno value\n=x\n")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "env"), ShellEnv([]byte(file.String())), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", ". ./env && exec env")
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the shell: %v\n%s", err, out)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name != "PATH" && name != "PWD" && name != "_" && name != "OLDPWD" {
			got[name] = value
		}
	}
	if diff := cmp.Diff(values, got); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("a value was run")
	}
}

// TestSettings checks which changes of a profile count after a reset only.
func TestSettings(t *testing.T) {
	base := input(t, kept, "alice", "", Version{5, 4}).Settings()
	tests := map[string]struct {
		text  string
		other bool
	}{
		"the same":    {kept, false},
		"limits":      {kept + "memory_max = \"2G\"\nstart_timeout = \"9m\"\n", false},
		"description": {kept + "description = \"x\"\n", false},
		"default url": {kept + "default_url = \"/tree\"\n", false},
		"image":       {strings.Replace(kept, ":latest", ":2026", 1), true},
		"environment": {strings.Replace(kept, "$5", "$6", 1), true},
		"mount":       {kept + "[[mount]]\nsource = \"/data\"\ntarget = \"/data\"\n", true},
		"sudo":        {kept + "allow_sudo = false\n", true},
		"mapping":     {kept + "user_mapping = \"host\"\n", true},
		"command":     {kept + "command = [\"x\"]\n", true},
		"devices":     {kept + "gpus = 1\n", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := input(t, tt.text, "alice", "", Version{5, 4}).Settings(); (got != base) != tt.other {
				t.Errorf("another hash: %v, want %v", got != base, tt.other)
			}
		})
	}
}

// TestSettingsDevices checks that a kept container is told to be of older settings when the
// profile asks for other devices by now, and not when it holds others than a new one would.
func TestSettingsDevices(t *testing.T) {
	with := func(text string) Input { return input(t, kept+text, "alice", "", Version{5, 4}) }
	one := with("gpus = 1\n")
	if one.Settings() != holding(one).Settings() {
		t.Error("which devices it holds counts")
	}
	for _, text := range []string{"", "gpus = 2\n", "gpus = 1\ngpu_model = \"*A100*\"\n", "gpus = \"all\"\n"} {
		if with(text).Settings() == one.Settings() {
			t.Errorf("%q is the same as one device", text)
		}
	}
	one.WithoutGPUs = true
	if one.Settings() != with("").Settings() {
		t.Error("a container that was made without devices is of the profile's settings")
	}
}

// TestReset shows the unit that removes what was kept.
func TestReset(t *testing.T) {
	for name, v := range map[string]Version{"reset": {5, 4}, "reset-old-podman": {4, 3}} {
		t.Run(name, func(t *testing.T) {
			spec := Reset(input(t, plain, "alice", "gpu-2", v), []string{"lab", "old-profile"})
			var b strings.Builder
			fmt.Fprintln(&b, spec.Name)
			for _, p := range spec.Properties {
				show(&b, p)
			}
			golden(t, filepath.Join("testdata", name+".golden"), b.String())
		})
	}
}
