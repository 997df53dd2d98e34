package check

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/settings"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

func TestGoodHost(t *testing.T) {
	for _, r := range Run(t.Context(), goodConfig(t, goodHost(t))) {
		if r.Level != OK {
			t.Errorf("%s: %s: %s (fix: %s)", r.Check, r.Level, r.What, r.Remedy)
		}
		if r.Why == "" || r.What == "" {
			t.Errorf("%s lacks words: %+v", r.Check, r)
		}
	}
}

// endpoints are those of the provider, set by hand.
const endpoints = `login.endpoints = {authorization = "https://id.example.org/a", ` +
	`token = "https://id.example.org/t", ` +
	`jwks = "https://id.example.org/k"}
`

// TestFindings breaks one thing at a time. Everything else must stay as it is.
func TestFindings(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, h *fake, c *Config)
		check string
		level Level
		what  string // part of What
		fix   string // part of Remedy
	}{
		"cgroup v1": {func(_ *testing.T, h *fake, _ *Config) {
			delete(h.files,
				"/sys/fs/cgroup/cgroup.controllers")
		}, "cgroups", Fail, "not mounted", "unified_cgroup_hierarchy"},
		"no controllers": {func(_ *testing.T, h *fake,
			_ *Config) {
			h.files["/sys/fs/cgroup/cgroup.controllers"] = "cpu\n"
		}, "cgroups", Warn, "memory, pids", "/proc/cgroups"},
		"old systemd": {func(_ *testing.T, h *fake,
			_ *Config) {
			h.commands["systemctl --version"] = "systemd 249 (x)"
		}, "systemd", Fail, "249", "Debian 12"},
		"other init": {func(_ *testing.T, h *fake, _ *Config) { delete(h.stats, "/run/systemd/system") }, "systemd",
			Fail, "did not boot", "process 1"},
		"old kernel": {func(_ *testing.T, h *fake,
			_ *Config) {
			h.files["/proc/sys/kernel/osrelease"] = "5.14.0-503.el9"
		}, "kernel", Warn, "5.19", "newer"},
		"ancient kernel": {func(_ *testing.T, h *fake, _ *Config) { h.files["/proc/sys/kernel/osrelease"] = "5.10.0" },
			"kernel", Warn, "overlayfs", "fuse-overlayfs"},
		"sysctl": {func(_ *testing.T, h *fake,
			_ *Config) {
			h.files["/proc/sys/user/max_user_namespaces"] = "0\n"
		}, "user namespaces", Fail, "user.max_user_namespaces is 0", "sysctl -w"},
		"namespace": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, userns) }, "user namespaces",
			Fail, "cannot make", "journalctl"},
		"AppArmor": {func(_ *testing.T, h *fake, _ *Config) {
			h.files["/proc/sys/kernel/apparmor_restrict_unprivileged_userns"] = "1\n"
			delete(h.stats, "/etc/apparmor.d/crun")
		}, "user namespaces", Fail, "crun has none", "apparmor"},
		"no podman": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, "podman --version") }, "podman",
			Fail, "does not run", "install podman"},
		"old podman": {func(_ *testing.T, h *fake,
			_ *Config) {
			h.commands["podman --version"] = "podman version 3.4.4"
		}, "podman", Fail, "3.4", "install podman"},
		"no crun": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, "crun --version") }, "crun",
			Fail, "does not run", "install crun"},
		"no newuidmap": {func(_ *testing.T, h *fake, _ *Config) { delete(h.stats, "/usr/bin/newuidmap") }, "id maps",
			Fail, "newuidmap", "uidmap"},
		"plain newgidmap": {func(_ *testing.T, h *fake,
			_ *Config) {
			h.stats["/usr/bin/newgidmap"] = File{Mode: 0o755}
		}, "id maps", Fail, "newgidmap", "reinstall"},
		"no pasta": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, "pasta --version") }, "network",
			Fail, "pasta", "passt"},
		"no tun": {func(_ *testing.T, h *fake, _ *Config) { delete(h.stats, "/dev/net/tun") }, "tun", Fail,
			"does not exist", "modprobe"},
		"closed tun": {func(_ *testing.T, h *fake, _ *Config) { h.stats["/dev/net/tun"] = File{Mode: 0o600} },
			"tun", Fail, "0600", "chmod"},
		"no logind": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands = without(h.commands, "loginctl --no-pager --no-legend list-users")
		}, "linger", Fail, "does not answer", "systemd-logind"},
		"clock": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands["timedatectl show --property=NTPSynchronized --value"] = "no"
		}, "clock", Warn, "clock", "set-ntp"},
		"bad settings": {func(t *testing.T, _ *fake, c *Config) { c.LoadSettings = loader(t, "log.levle = 1\n") },
			"settings", Fail, "hub.toml:7: log.levle", "sudoedit"},
		"closed settings": {func(_ *testing.T, _ *fake, c *Config) {
			c.LoadSettings = func() (*config.Config, error) {
				return nil, &config.Unreadable{File: "f", Err: fs.ErrPermission}
			}
		}, "settings", Unknown, "cannot read f", "sudo"},
		"full disk": {func(_ *testing.T, h *fake, _ *Config) { h.free["/cluster"] = 4 }, "disk", Warn,
			"only 4 bytes of 100 bytes are free at /cluster", "gifford-hub disk"},
		"bad policy": {func(_ *testing.T, _ *fake, c *Config) {
			c.LoadPolicy = func() (*policy.Policy, error) {
				return nil,
					settings.Problems{{File: "launcher.toml", Line: 3}}
			}
		}, "policy", Fail, "launcher.toml:3", "sudoedit launcher.toml"},
		"no bus": {func(_ *testing.T, _ *fake, c *Config) {
			c.Launcher, c.LauncherError = nil,
				errors.New("no such file")
		}, "launcher", Fail, "no such file", "dbus"},
		"no launcher": {func(_ *testing.T, _ *fake,
			c *Config) {
			c.Launcher = &bus{err: errors.New("not activatable\nhint: x")}
		}, "launcher", Fail, "not activatable", "reload dbus"},
		"launcher": {func(_ *testing.T, _ *fake, c *Config) {
			c.Launcher = &bus{err: &launcherbus.Error{Message: "policy:3"}}
		}, "launcher", Fail, "policy:3", "journalctl"},
		"no profile": {func(_ *testing.T, _ *fake, c *Config) { c.Launcher = &bus{} }, "launcher", Fail, "no profile",
			"[profile.NAME]"},
		"no rule": {func(t *testing.T, _ *fake, c *Config) {
			c.LoadSettings = loader(t,
				"access.blocked_users = [\"x\"]\n")
		}, "access", Fail, "no rule", "[access]"},
		"a role without scopes": {func(t *testing.T, _ *fake, c *Config) {
			c.LoadSettings = loader(t, "access.unix_groups = [\"cgs\"]\nroles.user.scopes = []\n")
		}, "roles", Warn, "nobody may start", "scopes = []"},
		"no group": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, "getent group cgs") }, "access",
			Fail, `"cgs" is unknown`, "getent group cgs"},
		"everyone": {func(t *testing.T, _ *fake, c *Config) {
			c.LoadSettings = loader(t,
				"access.allow_all = true\n")
		}, "access", Warn, "everyone", "[access]"},
		"no file": {func(_ *testing.T, h *fake, _ *Config) { delete(h.files, "/tls.pem") }, "certificate", Fail,
			"/tls.pem", "[tls]"},
		"closed file": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, mayRead) }, "certificate", Fail,
			"may not read /tls.pem", "setfacl -m u:gifford-hub:r /tls.pem"},
		"other name": {func(t *testing.T, h *fake, _ *Config) {
			h.files["/tls.pem"] = pemOf(t, "10.0.0.1", time.Now().Add(1e6*time.Second))
		}, "certificate", Fail, "not for hub.example.org", "certificate for"},
		"ended": {func(t *testing.T, h *fake, _ *Config) {
			h.files["/tls.pem"] = pemOf(t, "hub.example.org", time.Now().Add(-time.Hour))
		}, "certificate", Fail, "has ended", "renew"},
		"ends soon": {func(t *testing.T, h *fake, _ *Config) {
			h.files["/tls.pem"] = pemOf(t, "hub.example.org", time.Now().Add(time.Hour))
		}, "certificate", Warn, "ends on", "renew"},
		"one origin": {func(t *testing.T, _ *fake, c *Config) {
			c.LoadSettings = loader(t, "servers.named = 2\n")
		}, "origins", Warn, "share the hub's web origin",
			`origin in [servers], such as "https://{user}.hub.example.org"`},
		"no wildcard in DNS": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands = without(h.commands, "getent ahosts u-giffordc--"+anyDigest+".hub.example.org")
		}, "origins", Fail, "has no address", "*.hub.example.org to DNS"},
		"no wildcard in the certificate": {func(t *testing.T, _ *fake, c *Config) {
			c.LoadSettings = loader(t, "servers.origin = \"https://{user}.example.org\"\n")
			c.Host.(*fake).commands["getent ahosts u-giffordc--"+anyDigest+".example.org"] = "192.0.2.1 STREAM"
		}, "origins", Fail, "is not for *.example.org", "certificate for *.example.org and hub.example.org"},
		"no key": {func(_ *testing.T, h *fake, _ *Config) {
			_, h.files["/tls.pem"], _ = strings.Cut(h.files["/tls.pem"], "END PRIVATE KEY-----\n")
		}, "certificate", Fail, "no private key", "openssl"},
		"other key": {func(t *testing.T, h *fake, _ *Config) {
			key, _, _ := strings.Cut(pemOf(t, "x", time.Now()), "-----BEGIN CERT")
			_, crt, _ := strings.Cut(h.files["/tls.pem"], "END PRIVATE KEY-----\n")
			h.files["/tls.pem"] = crt + key
		}, "certificate", Fail, "belongs to none", "openssl"},
		"no provider": {func(_ *testing.T, h *fake, _ *Config) { h.pages = nil }, "provider", Fail,
			"cannot reach the provider", "curl -v https://id.example.org/.well-known"},
		"no discovery": {func(_ *testing.T, h *fake, _ *Config) { h.pages[discover] = "<html>" }, "provider", Fail,
			"not a discovery document", "curl"},
		"other issuer": {func(_ *testing.T, h *fake, _ *Config) {
			h.pages[discover] = strings.Replace(h.pages[discover], ".org", ".org/", 1)
		}, "provider", Fail, "letter by letter", "set issuer = \"https://id.example.org/\""},
		"no PKCE": {func(_ *testing.T, h *fake, _ *Config) {
			h.pages[discover] = strings.Replace(h.pages[discover], `,"S256"`, "", 1)
		}, "provider", Fail, "S256", "PKCE"},
		"silent PKCE": {func(_ *testing.T, h *fake, _ *Config) {
			h.pages[discover] = strings.Replace(h.pages[discover], "code_challenge", "x", 1)
		}, "provider", Warn, "PKCE", "ask"},
		"own copies": {func(_ *testing.T, _ *fake, c *Config) {
			rules, err := c.LoadPolicy()
			rules.Images.Share = false
			c.LoadPolicy = func() (*policy.Policy, error) { return rules, err }
		}, "images", Warn, "share is false", "share = true"},
		"no keeper": {func(_ *testing.T, _ *fake, c *Config) { c.Keeper = store{err: imagekeeper.ErrUnreachable} },
			"images", Warn, "does not answer", "gifford-images.socket"},
		"full store": {func(_ *testing.T, _ *fake, c *Config) {
			c.Keeper = store{disk: imagekeeper.Disk{Path: "/var/lib/gifford-images", Free: 1 << 30, Low: true}}
		}, "images", Warn, "only 1.1 GB are free at /var/lib/gifford-images", "images prune"},
		"no idmapped mounts": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, viewer+" probe") }, "images",
			Warn, "slow", "ext4"},
		"not enabled": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands[socketShow] = strings.Replace(h.commands[socketShow], "=active", "=inactive", 1)
		}, "sockets", Warn, "not active", "enable --now"},
		"old hub": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands[socketShow] = strings.Replace(h.commands[socketShow], "=active", "=failed", 1)
			h.listeners = map[int]string{443: "docker-proxy"}
		}, "sockets", Fail, "perhaps the old hub", "docker stop"},
		"nginx": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands[apiShow] = strings.Replace(h.commands[apiShow], "=active", "=failed", 1)
			h.listeners = map[int]string{8081: "nginx"}
		}, "sockets", Fail, "nginx has it", "systemctl edit gifford-hub-api.socket"},
		"a pasta older than Podman": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands["pasta --help"] = "Usage: pasta [OPTION]... [COMMAND] [ARGS]...\n  --no-map-gw\n"
		}, "network", Fail, "does not know --map-guest-addr", "passt"},
		"port of the API taken by IPv6": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands[api6Show] = strings.Replace(h.commands[api6Show], "=active", "=failed", 1)
			h.listeners = map[int]string{8081: "python3"}
		}, "sockets", Fail, "python3 has it", "systemctl edit gifford-hub-api6.socket"},
		"upgraded and not restarted": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands[api6Show] = strings.Replace(h.commands[api6Show], "=active", "=inactive", 1)
			h.listeners = map[int]string{8081: "gifford-hub"}
		}, "sockets", Warn, "any account can listen there", "systemctl restart gifford-hub.service"},
		"upgraded, by the socket": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands[srvShow] = strings.Replace(h.commands[srvShow], "=active", "=inactive", 1)
		}, "sockets", Warn, "until the hub has been restarted", "systemctl restart gifford-hub.service"},
		"no units": {func(_ *testing.T, h *fake, _ *Config) { h.commands[apiShow] = "LoadState=not-found" }, "sockets",
			Fail, "does not exist", "reinstall"},
		"state of root": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/var/lib/gifford-hub"] = File{Mode: 0o700 | fs.ModeDir, Owner: "root"}
		}, "state", Fail, "belongs to root", "chown"},
		"open state": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/var/lib/gifford-hub"] = File{Mode: 0o755 | fs.ModeDir, Owner: "gifford-hub"}
		}, "state", Warn, "open", "chmod"},
		"no cluster": {func(_ *testing.T, h *fake, _ *Config) { delete(h.stats, "/cluster") }, "cluster", Fail,
			"/cluster", "mount"},
		"no account": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, "getent passwd alice") }, "member",
			Fail, "no Unix account", "getent passwd alice"},
		"not in group": {func(_ *testing.T, h *fake, _ *Config) { h.commands["id -nG -- alice"] = "alice" }, "member",
			Fail, "none of the groups", "usermod -aG cgs alice"},
		"no home": {func(_ *testing.T, h *fake, _ *Config) { delete(h.stats, "/cluster/alice") }, "member", Fail,
			"/cluster/alice", "install -d"},
		"other's home": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/cluster/alice"] = File{Mode: fs.ModeDir, Owner: "bob"}
		}, "member", Fail, "belongs to bob", "chown alice"},
		"unreadable kernel": {func(_ *testing.T, h *fake, _ *Config) { delete(h.files, "/proc/sys/kernel/osrelease") },
			"kernel", Unknown, "cannot read", "uname"},
		"AppArmor's profiles": {func(_ *testing.T, h *fake, _ *Config) {
			h.files["/proc/sys/kernel/apparmor_restrict_unprivileged_userns"] = "1\n"
		}, "user namespaces", OK, "podman and crun have their profiles", ""},
		"no systemctl": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, "systemctl --version") },
			"systemd", Fail, "systemctl does not run", "process 1"},
		"lingers": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands["loginctl show-user --property=Linger --value alice"] = "yes"
		}, "linger", OK, "alice lingers", ""},
		"no timedatectl": {func(_ *testing.T, h *fake, _ *Config) {
			delete(h.commands, "timedatectl show --property=NTPSynchronized --value")
		}, "clock", Unknown, "does not say", "timedatectl"},
		"settings of another kind": {func(_ *testing.T, _ *fake, c *Config) {
			c.LoadSettings = func() (*config.Config, error) { return nil, errors.New("odd") }
		}, "settings", Fail, "odd", "config validate"},
		"policy of another kind": {func(_ *testing.T, _ *fake, c *Config) {
			c.LoadPolicy = func() (*policy.Policy, error) { return nil, errors.New("odd") }
		}, "policy", Fail, "odd", "sudoedit"},
		"closed policy": {func(_ *testing.T, _ *fake, c *Config) {
			c.LoadPolicy = func() (*policy.Policy, error) { return nil, fs.ErrPermission }
		}, "policy", Unknown, "permission", "sudo"},
		"no policy for the images": {func(_ *testing.T, _ *fake, c *Config) {
			c.LoadPolicy = func() (*policy.Policy, error) { return nil, fs.ErrPermission }
		}, "images", Unknown, "the policy cannot be read", ""},
		"no policy for the cluster": {func(_ *testing.T, _ *fake, c *Config) {
			c.LoadPolicy = func() (*policy.Policy, error) { return nil, fs.ErrPermission }
		}, "cluster", Unknown, "needs a policy", "sudoedit"},
		"keeper fails": {func(_ *testing.T, _ *fake, c *Config) { c.Keeper = store{err: errors.New("no store")} },
			"images", Warn, "no store", "journalctl -u gifford-images"},
		"no shared directory": {func(_ *testing.T, _ *fake, c *Config) {
			rules, err := c.LoadPolicy()
			rules.Host.Cluster = ""
			c.LoadPolicy = func() (*policy.Policy, error) { return rules, err }
		}, "cluster", OK, "no shared directory", ""},
		"cluster is a file": {func(_ *testing.T, h *fake, _ *Config) { h.stats["/cluster"] = File{Mode: 0o755} },
			"cluster", Fail, "is not a directory", "mount /cluster"},
		"closed cluster": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/cluster"] = File{Mode: 0o750 | fs.ModeDir}
		}, "cluster", Warn, "closed to some members (mode 0750)", "chmod o+rx /cluster"},
		"no subuid": {func(_ *testing.T, h *fake, _ *Config) { delete(h.files, "/etc/subuid") }, "member", Fail,
			"/etc/subuid", "touch"},
		"no range": {func(_ *testing.T, h *fake, _ *Config) { h.files["/etc/subgid"] = "bob:1:2\nxalice:1:2\n" },
			"member", OK, "no range in /etc/subgid", ""},
		"groups unknown": {func(_ *testing.T, h *fake, _ *Config) { delete(h.commands, "id -nG -- alice") }, "member",
			Unknown, "the groups of alice", "id alice"},
		"home to be made": {func(_ *testing.T, h *fake, c *Config) {
			delete(h.stats, "/cluster/alice")
			rules, err := c.LoadPolicy()
			rules.Host.CreateHome = true
			c.LoadPolicy = func() (*policy.Policy, error) { return rules, err }
		}, "member", OK, "is made at the first start", ""},
		"home is a file": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/cluster/alice"] = File{Owner: "alice"}
		}, "member", Fail, "is not a directory", "ls -ld /cluster/alice"},
		"behind a proxy": {func(t *testing.T, _ *fake, c *Config) {
			c.LoadSettings = loader(t, "http.behind_proxy = true\nhttp.trusted_proxies = [\"10.0.0.1\"]\n")
		}, "certificate", OK, "another proxy ends TLS", ""},
		"no user of the hub": {func(_ *testing.T, h *fake, _ *Config) {
			delete(h.commands, "getent passwd gifford-hub")
		},
			"certificate", Fail, "gifford-hub does not exist", "sysusers"},
		"no certificate": {func(_ *testing.T, h *fake, _ *Config) { h.files["/tls.pem"] = "text" }, "certificate", Fail,
			"no certificate", "openssl"},
		"not yet": {func(t *testing.T, h *fake, _ *Config) {
			h.files["/tls.pem"] = pemOf(t, "hub.example.org", time.Now().Add(400*24*time.Hour))
		}, "certificate", Fail, "is the clock right", "timedatectl"},
		"no end points": {func(_ *testing.T, h *fake, _ *Config) {
			h.pages[discover] = strings.Replace(h.pages[discover], `"jwks_uri":"j"`, `"jwks_uri":""`, 1)
		}, "provider", Fail, "lacks end points", "[login.endpoints]"},
		"keys of set end points": {func(t *testing.T, h *fake, c *Config) {
			c.LoadSettings = loader(t, endpoints)
			h.pages["https://id.example.org/k"] = "{}"
		}, "provider", OK, "keys can be read", ""},
		"no keys": {func(t *testing.T, _ *fake, c *Config) { c.LoadSettings = loader(t, endpoints) }, "provider", Fail,
			"cannot read the provider's keys", "curl -v https://id.example.org/k"},
		"port unknown": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands[apiShow] = strings.Replace(h.commands[apiShow], "=active", "=failed", 1)
			h.listeners = map[int]string{8081: "?"}
		}, "sockets", Fail, "? has it", "ss -ltnp"},
		"no state": {func(_ *testing.T, h *fake, _ *Config) { delete(h.stats, "/var/lib/gifford-hub") }, "state", OK,
			"made at the first start", ""},
		"state of one's own is missing": {func(t *testing.T, _ *fake, c *Config) {
			c.LoadSettings = loader(t, "state.directory = \"/srv/hub\"\n")
		}, "state", Fail, "/srv/hub", "install -d"},
		"no directory for the audit": {func(_ *testing.T, h *fake, _ *Config) {
			delete(h.stats, "/var/log/gifford-hub")
		}, "audit", OK, "next start", ""},
		"audit of root": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/var/log/gifford-hub"] = File{Mode: 0o750 | fs.ModeDir, Owner: "root"}
		}, "audit", Fail, "cannot write", "chown"},
		"closed audit": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/var/log/gifford-hub"] = File{Mode: 0o550 | fs.ModeDir, Owner: "gifford-hub"}
		}, "audit", Fail, "cannot write", "chmod"},
		"open audit": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/var/log/gifford-hub"] = File{Mode: 0o755 | fs.ModeDir, Owner: "gifford-hub"}
		}, "audit", Warn, "open to others", "chmod"},
		"closed state": {func(_ *testing.T, h *fake, _ *Config) {
			h.stats["/var/lib/gifford-hub"] = File{Mode: 0o500 | fs.ModeDir, Owner: "gifford-hub"}
		}, "state", Fail, "cannot be written", "chmod"},
		"old podman's network": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands["podman --version"] = "podman version 4.3.1"
		}, "network", OK, "gifford-container attaches pasta", ""},
		"podman 4.4": {func(_ *testing.T, h *fake, _ *Config) {
			h.commands["podman --version"] = "podman version 4.4.0"
		}, "network", OK, "makes pasta networks itself", ""},
		"no clone": {func(_ *testing.T, h *fake, _ *Config) {
			h.files["/proc/sys/kernel/unprivileged_userns_clone"] = "0"
		}, "user namespaces", Fail, "unprivileged_userns_clone is 0", "sysctl -w"},
		"no member": {func(_ *testing.T, _ *fake, c *Config) { c.User = ident.User{} }, "member", Unknown, "no member",
			"--user"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := goodHost(t)
			c := goodConfig(t, h)
			tt.spoil(t, h, &c)
			seen := false
			results := Run(t.Context(), c)
			for _, r := range results {
				if r.Check == tt.check && r.Level == tt.level && strings.Contains(r.What, tt.what) &&
					strings.Contains(r.Remedy, tt.fix) {
					seen = true
				} else if r.Level == Fail {
					t.Errorf("also: %+v", r)
				}
			}
			if !seen {
				t.Errorf("no finding %s %s %q with fix %q in %+v", tt.check, tt.level, tt.what, tt.fix, results)
			}
			if Failed(results) != (tt.level == Fail) {
				t.Errorf("Failed is %v", Failed(results))
			}
		})
	}
}

// TestNotRoot checks that what only root sees is unknown, never a failure.
func TestNotRoot(t *testing.T) {
	h := goodHost(t)
	h.user = true
	h.commands["unshare --user --map-root-user true"] = ""
	delete(h.files, "/tls.pem")
	c := goodConfig(t, h)
	c.Launcher = &bus{err: errors.New("access denied")}
	got := map[string]Level{}
	for _, r := range Run(t.Context(), c) {
		got[r.Check] = r.Level
		if r.Level == Fail {
			t.Errorf("%+v", r)
		}
	}
	if got["launcher"] != Unknown || got["certificate"] != Unknown {
		t.Errorf("launcher %s, certificate %s", got["launcher"], got["certificate"])
	}
}

func TestListening(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:0050 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
`
	for port, want := range map[int]string{443: "4711", 80: "", 22: ""} {
		if got := listening(table, port); got != want {
			t.Errorf("port %d: inode %q, want %q", port, got, want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]version{"podman version 4.3.1": {4, 3},
		"systemd 252 (252.39-1~deb12u2)": {252, 0}, "6.18.5+rpt": {6, 18}, "": {}, "none": {}} {
		if got := parseVersion(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
