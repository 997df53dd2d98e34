package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Chapters is what the documentation says of the settings.
func Chapters() []settings.Chapter { return table().Chapters() }

// Setting is one key.
type Setting = settings.Key[Config]

// def binds a key to its field.
func def[T any](key string, k settings.Kind[T], field func(*Config) *T, defaultValue, example, doc string) Setting {
	return settings.Define(key, k, func(c *Config, _ settings.Entry) *T { return field(c) },
		settings.Words{Default: defaultValue, Example: example, Doc: doc})
}

// table returns all settings, in the order in which they are documented.
func table() settings.Table[Config] {
	return settings.Table[Config]{Manual: "gifford-hub.toml(5)", Sections: sections(), Keys: Settings()}
}

func sections() []settings.Section[Config] {
	return []settings.Section[Config]{
		{Key: "http", Doc: "How the hub is reached."},
		{Key: "tls", Doc: "The certificate. The file is read as the user `gifford-hub`, and again when it changes."},
		{Key: "login", Doc: "The OpenID provider and how its claims are read. Missing keys are taken from the " +
			"credential `oauth.env`, the Docker env file of the old set-up."},
		{Key: "login.endpoints", Doc: "URLs of a provider without discovery. With the first, `token` and `jwks` set " +
			"there is no discovery; otherwise each replaces the value from discovery."},
		{Key: "access", Doc: "Who may enter. Any matching rule admits a person; `blocked_users` overrides all. " +
			"Without a rule nobody may enter."},
		{Key: "session", Doc: "How long a login lasts."},
		{Key: "servers", Doc: "How long a server may take, and how many a user may have."},
		{Key: "cull", Doc: "Stops servers that nobody uses, after a notice on their owner's home page. Leave it off " +
			"where jupyterhub-idle-culler does this."},
		{Key: "disk", Doc: "Disk use of members' files, and when people are warned that a disk is nearly full."},
		{Key: "metrics", Doc: "Metrics for Prometheus, at `hub/metrics` and `hub/api/metrics` below `http.base_url`."},
		{Key: "tokens", Doc: "API tokens."},
		{Key: "roles.*", Doc: "A role: scopes, and who has them. As JupyterHub's `load_roles`.", Check: checkRoleName,
			Add: add(func(c *Config) *map[string]*Role { return &c.Roles }, Role{})},
		{Key: "groups.*", Doc: "A group of users. As JupyterHub's `load_groups`.", Check: checkGroupName,
			Add: add(func(c *Config) *map[string]*Group { return &c.Groups }, Group{})},
		{Key: "services.*", Doc: "A service: a program of the lab that uses the hub's API. As JupyterHub's " +
			"`services`; the hub starts none.", Check: checkServiceName,
			Add: add(func(c *Config) *map[string]*Service { return &c.Services }, Service{Display: true})},
		{Key: "custom_scopes.*", Doc: "A scope that means something to a service. As JupyterHub's `custom_scopes`.",
			Check: checkCustomScope, Example: `"custom:NAME"`,
			Add: add(func(c *Config) *map[string]*CustomScope { return &c.CustomScopes }, CustomScope{})},
		{Key: "web", Doc: "The pages."},
		{Key: "log", Doc: "What the journal receives."},
		{Key: "state", Doc: "The location of the database and the keys."},
	}
}

// Settings returns all settings in the order in which they are documented. Names and defaults of login are those of
// agent/hub/login.
func Settings() []Setting {
	return slices.Concat(httpSettings(), loginSettings(), accessSettings(), serverSettings(), cullSettings(),
		diskSettings(), otherSettings(), tokenSettings(), roleSettings(),
		groupSettings(), serviceSettings(), customScopeSettings())
}

func httpSettings() []Setting {
	return []Setting{
		def("http.base_url", basePath, func(c *Config) *string { return &c.HTTP.BaseURL }, `"/"`, "",
			"The path below which the hub is, as JupyterHub's `base_url`. The callback's path does not depend on "+
				"it."),
		def("http.public_url", webURL, func(c *Config) *string { return &c.HTTP.PublicURL }, "",
			`"https://hub.example.org/"`,
			"The address that people type. If left out, it is derived from `login.callback_url`."),
		def("http.hosts", hostNames, func(c *Config) *[]string { return &c.HTTP.Hosts }, `[]`,
			`["jupyter.example.org", "192.0.2.7"]`,
			"Other names and addresses by which browsers and programs reach the hub, without ports. Requests by a "+
				"name that is neither the one of `public_url` nor one of these are refused with 421, except "+
				"`hub/health`. A proxy in front must pass on the Host that its client asked for."),
		def("http.max_anonymous", anonymous, func(c *Config) *int { return &c.HTTP.MaxAnonymous }, `256`, "",
			"How many connections, and how many requests at once, one client address may have without a session or "+
				"token, so that nobody can use up the hub's connections; 0 for any number. In IPv6 a network of 64 "+
				"bits "+
				"counts as one address. Behind a proxy of `trusted_proxies` the address that it states counts, for "+
				"requests alone."),
		def("http.behind_proxy", boolean, func(c *Config) *bool { return &c.HTTP.BehindProxy }, `false`, "",
			"Another proxy ends TLS in front of the hub: the hub speaks plain HTTP and trusts the `X-Forwarded-*` "+
				"headers of `trusted_proxies`."),
		def("http.trusted_proxies", prefixes, func(c *Config) *[]netip.Prefix { return &c.HTTP.TrustedProxies },
			`["127.0.0.1/32", "::1/128"]`, "",
			"Addresses or networks of that proxy. Headers from other addresses are ignored."),
		def("http.redirect_port", port, func(c *Config) *int { return &c.HTTP.RedirectPort }, `80`, "",
			"A listener of `gifford-hub.socket` on this port only redirects to HTTPS; 0 turns this off."),
		def("http.hsts", boolean, func(c *Config) *bool { return &c.HTTP.HSTS }, `true`, "",
			"Tells browsers to reach this address by HTTPS alone for a year (`Strict-Transport-Security: "+
				"max-age=31536000`), where the hub ends TLS itself. Behind another proxy it is that proxy's to say."),
		def("http.drain_timeout", duration, func(c *Config) *time.Duration { return &c.HTTP.DrainTimeout }, `"24h"`, "",
			"How long the old process continues to serve its open WebSockets after a reload."),
		def("tls.certificate", path, func(c *Config) *string { return &c.TLS.Certificate }, "",
			`"/etc/gifford-hub/tls/hub.pem"`,
			"A PEM file with the certificate and its chain in any order, and the key unless `tls.key` is set."),
		def("tls.key", path, func(c *Config) *string { return &c.TLS.Key }, "", `"/etc/gifford-hub/tls/hub.key"`,
			"A PEM file with the key alone."),
	}
}

func loginSettings() []Setting {
	return []Setting{
		def("login.issuer", webURL, func(c *Config) *string { return &c.Login.Issuer }, "",
			`"https://id.example.org/realms/lab"`,
			"The provider's issuer, letter by letter as its discovery document names it. Required."),
		def("login.client_id", text, func(c *Config) *string { return &c.Login.ClientID }, "", `"gifford-hub"`,
			"The hub's name at the provider. Required, here or as `OAUTH_CLIENT_ID`."),
		def("login.client_secret_file", path, func(c *Config) *string { return &c.Login.ClientSecretFile }, "",
			`"/etc/gifford-hub/client-secret"`,
			"A file with the hub's password at the provider, readable by `gifford-hub`. Without it: the credential "+
				"`client-secret` (the file `/etc/gifford-hub/secrets/client-secret`), then `OAUTH_CLIENT_SECRET`, "+
				"then none (a public client)."),
		def("login.client_auth", settings.OneOf("", "client_secret_basic", "client_secret_post"),
			func(c *Config) *string { return &c.Login.ClientAuth }, "", `"client_secret_post"`,
			"How that password is sent. Left out: as discovery says."),
		def("login.callback_url", webURL, func(c *Config) *string { return &c.Login.CallbackURL }, "",
			`"https://hub.example.org/hub/oauth_callback"`,
			"The callback address registered with the provider, with any path. Required, here or as "+
				"`OAUTH_CALLBACK_URL`."),
		def("login.scopes", texts, func(c *Config) *[]string { return &c.Login.Scopes },
			`["openid", "profile", "email"]`, "",
			"Scopes requested from the provider. Some need another one for groups; `offline_access` lets the hub "+
				"check "+
				"groups again while the person is away."),
		def("login.username_claim", text, func(c *Config) *string { return &c.Login.UsernameClaim },
			`"preferred_username"`, "",
			"The claim that holds the user name."),
		def("login.username_pattern", pattern, func(c *Config) *string { return &c.Login.UsernamePattern }, "",
			`'^(.+)@example\.org$'`,
			"A regular expression (RE2) that the whole claim must match; its first group is the name. Required for "+
				"the claim `email`, or people of other domains could take a member's name."),
		def("login.username_map", userMap, func(c *Config) *map[string]ident.User { return &c.Login.UsernameMap }, "",
			`{ haoyangz = "zeng" }`,
			"Names at the institute that differ from the Unix name. Applied last."),
		def("login.lowercase", boolean, func(c *Config) *bool { return &c.Login.Lowercase }, `false`, "",
			"Turns the name into lower case before `username_map`."),
		def("login.require_verified_email", optionalBool,
			func(c *Config) **bool { return &c.Login.RequireVerifiedEmail }, "", `true`,
			"Refuses people whose `email_verified` is not true. Left out: true for the claim `email`, false for "+
				"others."),
		def("login.groups_claim", text, func(c *Config) *string { return &c.Login.GroupsClaim }, `"groups"`, "",
			"The claim with a person's groups. A dotted path such as `realm_access.roles` leads into objects."),
		def("login.provider_name", text, func(c *Config) *string { return &c.Login.ProviderName }, `"your institute"`,
			"",
			"What the sign-in button calls the provider."),
		def("login.auto_login", boolean, func(c *Config) *bool { return &c.Login.AutoLogin }, `false`, "",
			"Goes to the provider at once, without the sign-in page."),
		def("login.provider_logout", boolean, func(c *Config) *bool { return &c.Login.ProviderLogout }, `false`, "",
			"Signing out ends the session at the provider as well."),
		def("login.post_logout_url", webURL, func(c *Config) *string { return &c.Login.PostLogoutURL }, "",
			`"https://hub.example.org/"`,
			"Where the provider sends people after that; it must be registered there."),
		def("login.endpoints.authorization", webURL,
			func(c *Config) *string { return &c.Login.Endpoints.Authorization }, "",
			`"https://id.example.org/authorize"`, "Where people sign in."),
		def("login.endpoints.token", webURL, func(c *Config) *string { return &c.Login.Endpoints.Token }, "",
			`"https://id.example.org/token"`, "Where the hub changes a code into tokens."),
		def("login.endpoints.userinfo", webURL, func(c *Config) *string { return &c.Login.Endpoints.UserInfo }, "",
			`"https://id.example.org/userinfo"`, "Where the hub asks for claims."),
		def("login.endpoints.jwks", webURL, func(c *Config) *string { return &c.Login.Endpoints.JWKS }, "",
			`"https://id.example.org/jwks"`, "The keys that sign tokens."),
		def("login.endpoints.end_session", webURL, func(c *Config) *string { return &c.Login.Endpoints.EndSession }, "",
			`"https://id.example.org/logout"`, "Where people sign out."),
	}
}

func accessSettings() []Setting {
	return []Setting{
		def("access.users", users, func(c *Config) *[]ident.User { return &c.Access.Users }, "", `["alice", "bob"]`,
			"Unix names."),
		def("access.groups", texts, func(c *Config) *[]string { return &c.Access.Groups }, "", `["lab-members"]`,
			"Groups of the provider's claim, compared letter by letter."),
		def("access.unix_groups", groups, func(c *Config) *[]string { return &c.Access.UnixGroups }, "", `["cgs"]`,
			"Unix groups of the host, through its name service; a primary group counts. An unknown group lets "+
				"nobody in."),
		def("access.blocked_users", users, func(c *Config) *[]ident.User { return &c.Access.BlockedUsers }, "",
			`["mallory"]`, "Unix names that may never enter."),
		def("access.admin_users", users, func(c *Config) *[]ident.User { return &c.Access.AdminUsers }, "", `["dora"]`,
			"Unix names of administrators, who may enter too."),
		def("access.admin_groups", texts, func(c *Config) *[]string { return &c.Access.AdminGroups }, "",
			`["lab-admins"]`, "Groups of the provider's claim whose members are administrators."),
		def("access.admin_unix_groups", groups, func(c *Config) *[]string { return &c.Access.AdminUnixGroups }, "",
			`["hubadmin"]`, "Unix groups whose members are administrators."),
		def("access.allow_all", boolean, func(c *Config) *bool { return &c.Access.AllowAll }, `false`, "",
			"Everyone with a login at the provider and a Unix account may enter, but system accounts: those below "+
				"`min_uid` of launcher.toml, and nobody."),
		def("access.import_unix_groups", groups, func(c *Config) *[]string { return &c.Access.ImportUnixGroups }, "",
			`["gpu", "students"]`, "Unix groups of the host that become groups of the hub for those of its users "+
				"who are in them, as those of `unix_groups` do."),
		def("access.recheck", duration, func(c *Config) *time.Duration { return &c.Access.Recheck }, `"5m"`, "",
			"How often the right to enter is checked again: of whoever uses a session or a token, and of the owner of "+
				"every server that runs."),
		def("access.max_stale", duration, func(c *Config) *time.Duration { return &c.Access.MaxStale }, `"24h"`, "",
			"How long a session lasts while that check fails. Tokens and servers go on."),
		def("access.leaving", durationOrZero, func(c *Config) *time.Duration { return &c.Access.Leaving }, `"1h"`, "",
			"How long the servers of somebody who may not enter any more go on, announced as the end of an idle "+
				"one is; 0s ends them at once."),
	}
}

func serverSettings() []Setting {
	return []Setting{
		def("session.lifetime", duration, func(c *Config) *time.Duration { return &c.Session.Lifetime }, `"336h"`, "",
			"How long a login lasts, as JupyterHub's `cookie_max_age_days` of 14."),
		def("session.idle", durationOrZero, func(c *Config) *time.Duration { return &c.Session.Idle }, `"0s"`, "",
			"Ends a session that was not used for this long;  0 means never."),
		def("servers.start_timeout", duration, func(c *Config) *time.Duration { return &c.Servers.StartTimeout },
			`"10m"`, "", "From the request to a running unit; a pull of the image counts."),
		def("servers.http_timeout", duration, func(c *Config) *time.Duration { return &c.Servers.HTTPTimeout }, `"60s"`,
			"", "From the running unit to its first HTTP answer."),
		def("servers.stop_timeout", duration, func(c *Config) *time.Duration { return &c.Servers.StopTimeout }, `"30s"`,
			"", "For one stop."),
		def("servers.origin", text, func(c *Config) *string { return &c.Servers.Origin }, "",
			`"https://{user}.hub.example.org"`,
			"The web origin of each member's servers, where the name of the member replaces `{user}`. Browsers then "+
				"separate members from each other and from the hub. It needs a wildcard entry in DNS and a "+
				"certificate "+
				"for `*.hub.example.org` and `hub.example.org`. Left out: all servers are below `http.public_url`, "+
				"and "+
				"the hub keeps them apart as well as one origin allows. Services are at `NAME--service` below the "+
				"same "+
				"domain."),
		def("servers.named", count, func(c *Config) *int { return &c.Servers.Named }, `false`, "",
			"Named servers beside the default one: `false` for none, a number of them for each user, or `true` for "+
				"any number."),
	}
}

func cullSettings() []Setting {
	return []Setting{
		def("cull.enabled", boolean, func(c *Config) *bool { return &c.Cull.Enabled }, `false`, "",
			"Stops idle servers."),
		def("cull.idle", durationOrZero, func(c *Config) *time.Duration { return &c.Cull.Idle }, `"1h"`, "",
			"A server ends after this time without activity. A server with a busy kernel is never idle, "+
				"even when it prints nothing."),
		def("cull.max_age", durationOrZero, func(c *Config) *time.Duration { return &c.Cull.MaxAge }, `"0s"`, `"168h"`,
			"A server ends this long after its start, used or not, unless a kernel is busy. A server that does not "+
				"answer "+
				"gets twice the time."),
		def("cull.max_age_busy", boolean, func(c *Config) *bool { return &c.Cull.MaxAgeBusy }, `false`, "",
			"`max_age` also ends servers with a busy kernel."),
		def("cull.notice", durationOrZero, func(c *Config) *time.Duration { return &c.Cull.Notice }, `"10m"`, "",
			"How long before the end the server's owner is warned."),
		def("cull.every", duration, func(c *Config) *time.Duration { return &c.Cull.Every }, `"1m"`, "",
			"How often the servers are polled."),
		def("cull.busy_cpu", percent, func(c *Config) *int { return &c.Cull.BusyCPU }, `5`, "",
			"A server that uses at least this much of one core counts as busy, whatever its kernels report; 0 "+
				"checks the "+
				"kernels only."),
		def("cull.connected", boolean, func(c *Config) *bool { return &c.Cull.Connected }, `false`, "",
			"A kernel with an open browser tab counts as busy."),
		def("cull.gpu_idle", durationOrZero, func(c *Config) *time.Duration { return &c.Cull.GPUIdle }, `"0s"`, `"2h"`,
			"A server that has not used its GPU for this long releases it. Its owner is warned as of other "+
				"ends and can postpone the end once. A server with a busy kernel is not affected; `0s` means never."),
		def("cull.gpu_action", settings.OneOf(GPURestart, GPUStop),
			func(c *Config) *string { return &c.Cull.GPUAction },
			`"restart"`, "", "What happens then:  `restart` starts it again with the same profile and without "+
				"GPU, `stop` stops it."),
		def("cull.gpu_busy", percent, func(c *Config) *int { return &c.Cull.BusyGPU }, `5`, "",
			"A GPU with at least this load is in use, and its server is busy, whatever its kernels report; 0 does not "+
				"measure GPUs."),
		def("cull.group", cullGroups, func(c *Config) *map[string]CullGroup { return &c.Cull.Groups }, "",
			`{ staff = { idle = "8h", max_age = "0s" }, gpu = { exempt = true } }`,
			"Other values for members of a group of the hub or of a Unix group:  `idle`, `max_age`, `gpu_idle`, or "+
				"`exempt = true` for never. May be written as sections `[cull.group.staff]`. A member of several "+
				"groups gets the most generous value of each."),
	}
}

func otherSettings() []Setting {
	return []Setting{
		def("web.contact", text, func(c *Config) *string { return &c.Web.Contact }, "", `"hub@example.org"`,
			"Whom people should ask: an e-mail address, a web address or a text."),
		def("web.announcement", text, func(c *Config) *string { return &c.Web.Announcement }, "",
			`"The cluster is down on Friday."`, "A text on top of each page."),
		def("web.redirect_to_server", boolean, func(c *Config) *bool { return &c.Web.RedirectToServer }, `false`, "",
			"The hub's address leads to one's own server and starts it, as JupyterHub does. Otherwise it leads to "+
				"the home page."),
		def("metrics.authenticate", boolean, func(c *Config) *bool { return &c.Metrics.Authenticate }, `true`, "",
			"Only tokens with the scope `read:metrics` and administrators can read the metrics. `false` opens "+
				"them to everybody who reaches a listener, notebooks included."),
		def("log.level", level, func(c *Config) *slog.Level { return &c.Log.Level }, `"info"`, "",
			"`debug` adds every refused request."),
		def("state.directory", path, func(c *Config) *string { return &c.State.Directory }, "",
			`"/var/lib/gifford-hub"`, "Left out: systemd's `$STATE_DIRECTORY`, which is `/var/lib/gifford-hub`."),
	}
}

// defaults returns a Config in which every setting has its default.
func defaults() (*Config, error) {
	c := &Config{origins: map[string]Origin{}}
	return c, table().Defaults(c)
}
