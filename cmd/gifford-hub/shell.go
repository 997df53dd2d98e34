package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// shellProgram speaks with Podman; it is no part of this program, which faces the network.
const shellProgram = "/usr/libexec/gifford-hub/gifford-shell"

func (a *app) shellCommand() *cobra.Command {
	var (
		root   bool
		server string
	)
	cmd := &cobra.Command{
		Use:   "shell USER [-- COMMAND...]",
		Short: "Open a shell in a member's running server",
		Long: `Opens a shell in the container of a member's running server, or runs a command there, as
the user of the notebook or, with --root, as root of the container, which is not root of the
host. The exit status is the command's. Who opened it and what was run is in the journal:
journalctl -u gifford-hub EVENT=servers-shell JUPYTER_USER=alice

What root changes outside of HOME is gone when the server stops, unless its profile is
persistent. The shell belongs to the server and ends with it.`,
		Example: `  sudo gifford-hub servers shell alice
  sudo gifford-hub servers shell --root alice -- apt-get install -y graphviz
  sudo gifford-hub servers shell --root alice --server gpu`,
		Args:              arguments(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := serverOf(cmd, args[0], server)
			if err != nil {
				return err
			}
			if len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
				return &usageError{errors.New("a command to run stands after --"), cmd.CommandPath()}
			}
			return a.shell(cmd.Context(), control.Shell{User: k.User, Server: k.Server, Root: root,
				Who: administrator(a.lookup), Command: args[1:]})
		},
	}
	cmd.Flags().BoolVar(&root, "root", false, "as root of the container")
	cmd.Flags().StringVar(&server, "server", "", "the member's server of that `name` (default: the one without a name)")
	return cmd
}

// serverOf takes a named server as "alice:name" or by --server.
func serverOf(cmd *cobra.Command, arg, server string) (ident.Key, error) {
	if server != "" {
		arg += ":" + server
	}
	return parseServer(cmd, arg)
}

// shell has the hub write down who goes where before it goes there.
func (a *app) shell(ctx context.Context, s control.Shell) error {
	if err := a.hub().Shell(ctx, s); err != nil {
		return err
	}
	args := []string{"--user", s.User.String(), "--server", s.Server.String(), "--who", s.Who}
	if s.Root {
		args = append(args, "--root")
	}
	// The shell gets the terminal's signals itself and ends in its own time.
	shell := exec.Command(shellProgram, append(append(args, "--"), s.Command...)...)
	shell.Stdin, shell.Stdout, shell.Stderr = os.Stdin, a.stdout, a.stderr
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Reset(syscall.SIGINT, syscall.SIGQUIT)
	err := shell.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return hint.With(err, "is the package whole? "+shellProgram)
	}
	s.Ended, s.Status = true, shell.ProcessState.ExitCode()
	if err := a.hub().Shell(context.WithoutCancel(ctx), s); err != nil {
		// The command has run: its status counts.
		_, _ = fmt.Fprintf(a.stderr, "gifford-hub: the end of the shell is not in the hub's log: %v\n", err)
	}
	if s.Status != 0 {
		return &silent{s.Status}
	}
	return nil
}

// administrator names the person behind root, as sudo or the kernel's login uid has it.
func administrator(lookup func(string) (string, bool)) string {
	if name, _ := lookup("SUDO_USER"); name != "" {
		return name
	}
	const unset = "4294967295"
	uid, err := os.ReadFile("/proc/self/loginuid")
	id := strings.TrimSpace(string(uid))
	if err != nil || id == "" || id == unset {
		return "root"
	}
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}
