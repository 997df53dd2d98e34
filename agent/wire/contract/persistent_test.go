package contract

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
