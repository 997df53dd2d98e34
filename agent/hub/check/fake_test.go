package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// fake is a host made of fixtures. It stands in because a real host cannot be made to
// lack its kernel's features one by one; end-to-end tests use the real one.
type fake struct {
	user      bool // not root
	files     map[string]string
	stats     map[string]File
	commands  map[string]string // "podman --version" -> output; what is missing fails
	listeners map[int]string
	pages     map[string]string
	free      map[string]int64 // of 100 bytes; what is missing is not there
}

func (f *fake) Root() bool { return !f.user }

func (f *fake) ReadFile(path string) ([]byte, error) {
	if text, ok := f.files[path]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

func (f *fake) Stat(path string) (File, error) {
	if file, ok := f.stats[path]; ok {
		return file, nil
	}
	return File{}, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
}

func (f *fake) Run(_ context.Context, name string, args ...string) (string, error) {
	command := strings.Join(append([]string{name}, args...), " ")
	if out, ok := f.commands[command]; ok {
		return out, nil
	}
	return "", fmt.Errorf("%s: exit status 1", command)
}

func (f *fake) Listener(port int) (string, error) { return f.listeners[port], nil }

func (f *fake) Free(path string) (free, total int64, err error) {
	if n, ok := f.free[path]; ok {
		return n, 100, nil
	}
	return 0, 0, &fs.PathError{Op: "statfs", Path: path, Err: fs.ErrNotExist}
}

func (f *fake) Fetch(_ context.Context, url string) ([]byte, error) {
	if page, ok := f.pages[url]; ok {
		return []byte(page), nil
	}
	return nil, errors.New("connection refused")
}

// bus is a launcher.
type bus struct {
	profiles []launcherbus.Profile
	err      error
	gpus     launcherbus.GPUs
	gpusErr  error
}

func (b *bus) GPUs(context.Context) (launcherbus.GPUs, error) { return b.gpus, b.gpusErr }

func (b *bus) Profiles(context.Context) ([]launcherbus.Profile, error) { return b.profiles, b.err }

// store is an image keeper.
type store struct {
	disk imagekeeper.Disk
	err  error
}

func (s store) Disk(context.Context) (imagekeeper.Disk, error) { return s.disk, s.err }

const (
	anyDigest  = "6cc8069" // of SHA-256 of anyMember
	socketShow = "systemctl show --property=LoadState,ActiveState,Listen gifford-hub.socket"
	apiShow    = "systemctl show --property=LoadState,ActiveState,Listen gifford-hub-api.socket"
	srvShow    = "systemctl show --property=LoadState,ActiveState,Listen gifford-hub-servers.socket"
	api6Show   = "systemctl show --property=LoadState,ActiveState,Listen gifford-hub-api6.socket"
	discover   = "https://id.example.org/.well-known/openid-configuration"
	userns     = "setpriv --reuid=65534 --regid=65534 --clear-groups unshare --user --map-root-user true"
	mayRead    = "setpriv --reuid=gifford-hub --regid=gifford-hub --init-groups test -r /tls.pem"
)

// goodHost has nothing wrong.
func goodHost(t *testing.T) *fake {
	return &fake{
		files: map[string]string{
			"/sys/fs/cgroup/cgroup.controllers":    "cpuset cpu io memory pids\n",
			"/proc/sys/kernel/osrelease":           "6.12.1-amd64\n",
			"/proc/sys/user/max_user_namespaces":   "62000\n",
			"/tls.pem":                             pemOf(t, "hub.example.org", time.Now().Add(90*24*time.Hour)),
			"/etc/subuid":                          "alice:100000:65536\n",
			"/etc/subgid":                          "alice:100000:65536\n",
			"/proc/sys/kernel/unprivileged_userns": "1",
		},
		stats: map[string]File{
			"/dev/net/tun":           {Mode: 0o666 | fs.ModeDevice, Owner: "root"},
			"/usr/bin/newuidmap":     {Mode: 0o755 | fs.ModeSetuid, Owner: "root"},
			"/usr/bin/newgidmap":     {Mode: 0o755, Owner: "root", Caps: true},
			"/proc/net/if_inet6":     {Mode: 0o444, Owner: "root"},
			"/run/systemd/system":    {Mode: 0o755 | fs.ModeDir, Owner: "root"},
			"/var/lib/gifford-hub":   {Mode: 0o700 | fs.ModeDir, Owner: "gifford-hub"},
			"/var/log/gifford-hub":   {Mode: 0o750 | fs.ModeDir, Owner: "gifford-hub"},
			"/cluster":               {Mode: 0o755 | fs.ModeDir, Owner: "root"},
			"/cluster/alice":         {Mode: 0o700 | fs.ModeDir, Owner: "alice"},
			"/etc/apparmor.d/podman": {},
			"/etc/apparmor.d/crun":   {},
		},
		commands: map[string]string{
			"podman --version": "podman version 5.4.2", "crun --version": "crun version 1.21",
			"pasta --version": "pasta 0.0",
			"pasta --help": "Usage: pasta [OPTION]... [COMMAND] [ARGS]...\n  --no-map-gw\n  --map-guest-addr " +
				"ADDR\n",
			"systemctl --version": "systemd 257 (257.1)", "timedatectl show --property=NTPSynchronized --value": "yes",
			"loginctl --no-pager --no-legend list-users": "", userns: "", mayRead: "", viewer + " probe": "",
			"getent ahosts u-giffordc--" + anyDigest + ".hub.example.org": "192.0.2.1 STREAM",
			"getent group cgs": "cgs:x:1:", "getent passwd gifford-hub": "gifford-hub:x:1:1",
			"getent passwd alice": "alice:x:5001",
			"id -nG -- alice":     "alice cgs",
			socketShow: "LoadState=loaded\nActiveState=active\nListen=[::]:443 (Stream)\nListen=[::]:80 " +
				"(Stream)",
			apiShow:  "LoadState=loaded\nActiveState=active\nListen=127.0.0.1:8081 (Stream)",
			api6Show: "LoadState=loaded\nActiveState=active\nListen=[::1]:8081 (Stream)",
			srvShow:  "LoadState=loaded\nActiveState=active\nListen=/run/gifford-hub/api.sock (Stream)",
		},
		free: map[string]int64{"/var/lib/gifford-launcher": 50, "/cluster": 50},
		pages: map[string]string{discover: `{"issuer":"https://id.example.org","authorization_endpoint":"a",
			"token_endpoint":"t","jwks_uri":"j","code_challenge_methods_supported":["plain","S256"]}`},
	}
}

func goodConfig(t *testing.T, h *fake) Config {
	t.Helper()
	alice, err := ident.ParseUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Host: h, User: alice,
		Launcher:     &bus{profiles: []launcherbus.Profile{{Name: "lab"}}},
		LoadSettings: loader(t, ""),
		Keeper:       store{},
		GPUs:         func() gpu.Inventory { return gpu.Inventory{} },
		GPUState:     func() (gpu.State, error) { return gpu.State{}, nil },
		LoadPolicy: func() (*policy.Policy, error) {
			return &policy.Policy{Host: policy.Host{Cluster: "/cluster", Home: "/cluster/{user}",
				UnixGroups: []string{"cgs"}}, Images: policy.Images{Share: true}}, nil
		},
	}
}

// loader reads real settings with extra lines.
func loader(t *testing.T, extra string) func() (*config.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hub.toml")
	text := "login.issuer = \"https://id.example.org\"\nlogin.client_id = \"hub\"\nlogin.callback_url = " +
		"\"https://hub.example.org/cb\"\n"
	if !strings.Contains(extra, "access.") {
		text += "access.unix_groups = [\"cgs\"]\n"
	}
	if !strings.Contains(extra, "servers.") {
		text += "servers.origin = \"https://{user}.hub.example.org\"\n"
	}
	if !strings.Contains(extra, "behind_proxy") {
		text += "tls.certificate = \"/tls.pem\"\n"
	}
	if err := os.WriteFile(file, []byte(text+extra), 0o600); err != nil {
		t.Fatal(err)
	}
	src := config.Host(file, func(string) (string, bool) { return "", false })
	return func() (*config.Config, error) { return config.Load(src) }
}

// pemOf makes a certificate and its key, the key first.
func pemOf(t *testing.T, name string, end time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-365 * 24 * time.Hour), NotAfter: end}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name, "*." + name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func without[K comparable, V any](m map[K]V, keys ...K) map[K]V {
	m = maps.Clone(m)
	for _, k := range keys {
		delete(m, k)
	}
	return m
}
