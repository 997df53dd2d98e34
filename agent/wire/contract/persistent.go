package contract

import "strings"

// A persistent profile's container is made once, by "podman run" without --rm. It stays when its unit ends, and "podman
// start" starts it again in the next one. What was installed into it stays; all that changes from start to start must
// come in from outside, for Podman 4.3 cannot change a container's environment. So the image's entry point is wrapped:
// a line of shell reads the server's variables from a file in the directory of the socket, which the launcher makes
// again for each start. This costs nothing at stop; the other way, "podman commit" at each stop, copies all changes
// each time and loses those of a unit that was killed.

const (
	// PersistentEnvName is the file with the server's variables, in the form that a shell reads, beside the server's
	// socket: the member's, mode 0600, in a directory that only the hub's group may pass through.
	PersistentEnvName = "env"
	// SettingsLabel holds on a persistent container the hash of what it was made from.
	SettingsLabel = "org.giffordlab.settings"
	// Wrapper is the persistent container's entry point, with the image's own as its arguments. The file is gone before
	// anything of the image runs.
	Wrapper = `. ` + SocketMount + `/` + PersistentEnvName + ` && rm -f ` + SocketMount + `/` + PersistentEnvName +
		` && exec "$@"`
)

// ShellEnv turns an environment file of podman's --env-file into lines that a POSIX shell reads: every value in single
// quotes. It leaves out lines whose name is none to a shell.
func ShellEnv(envFile []byte) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(envFile)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok || !shellName(name) {
			continue
		}
		b.WriteString("export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n")
	}
	return []byte(b.String())
}

// shellName reports whether a shell takes s for a variable's name (POSIX, "Name").
func shellName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
