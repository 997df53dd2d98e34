package contract

import (
	"path"
	"strconv"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Inside the container.
const (
	SocketMount = "/run/jupyter" // where SocketDir is mounted
	socketName  = "nb.sock"
	// SocketInside is the server's socket as the container sees it.
	SocketInside = SocketMount + "/" + socketName
)

// Files in the directory of a server's view.
const (
	StorageConfName = "storage.conf"
	ImageEnvName    = "image.env" // EnvImage and EnvSlow
)

// SocketDirParts names the directory of the server's socket below RunDir: "servers", the user, and the server or "_"
// for the default one (no server can be named so).
func SocketDirParts(k ident.Key) [3]string {
	return [3]string{"servers", k.User.String(), serverPart(k)}
}

// MaxRetired bounds the retired directories of one member.
const MaxRetired = 100

// RetiredName is a name, beside those of SocketDirParts, of a directory that no server uses any more; n is less than
// MaxRetired. No server's name begins with a dot.
func RetiredName(n int) string { return "." + strconv.Itoa(n) }

func serverPart(k ident.Key) string {
	if k.Server.IsDefault() {
		return "_"
	}
	return k.Server.String()
}

// SocketDir is the directory that is mounted at SocketMount.
func SocketDir(k ident.Key) string {
	parts := SocketDirParts(k)
	return path.Join(RunDir, parts[0], parts[1], parts[2])
}

// SocketPath is the server's UNIX socket on the host: at most 101 bytes of sun_path's 107.
func SocketPath(k ident.Key) string { return path.Join(SocketDir(k), socketName) }

// CredentialName is the name of the server's environment file below RunDir/credentials.
func CredentialName(k ident.Key) string { return k.Unit() + ".env" }

// CredentialPath is where the launcher leaves the server's environment for systemd.
func CredentialPath(k ident.Key) string { return path.Join(RunDir, "credentials", CredentialName(k)) }

// ViewParts names the directory of the server's view of the images below RunDir.
func ViewParts(k ident.Key) string { return path.Join("views", k.User.String(), serverPart(k)) }

// ViewDir is the directory of the server's view of the images, which gifford-view makes.
func ViewDir(k ident.Key) string { return path.Join(RunDir, ViewParts(k)) }

// UserDir is the HOME of the user's podman, with the container storage below it.
func UserDir(u ident.User) string { return path.Join(StateDir, "users", u.String()) }

// UserStorage is the user's container storage.
func UserStorage(u ident.User) string { return path.Join(UserDir(u), "storage") }

// UserStorageConf is the root-owned storage.conf(5) of the user's podman for commands that need no image.
func UserStorageConf(u ident.User) string {
	return path.Join(RunDir, "users", u.String(), StorageConfName)
}

// RunRoot is where the user's container storage has what need not outlive a boot.
func RunRoot(uid uint32) string {
	return "/run/user/" + strconv.FormatUint(uint64(uid), 10) + "/gifford-hub"
}

// ContainerName is the container's name in the user's own container storage, where it must be unique and podman allows
// no colon: "jupyter-alice", "jupyter-alice--gpu". Two users' containers may have the same name. Two of one user
// cannot: the user is the same and only a named server adds "--".
func ContainerName(k ident.Key) string {
	if k.Server.IsDefault() {
		return "jupyter-" + k.User.String()
	}
	return "jupyter-" + k.User.String() + "--" + k.Server.String()
}

// PersistentName is the name of the container of a server with a persistent profile: one for each profile, so that
// another profile in between loses nothing. Neither a profile's name nor a server's has a dot, so no two of one user
// are the same.
func PersistentName(k ident.Key, profile string) string { return ContainerName(k) + "." + profile }
