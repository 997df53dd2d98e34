package policy

import (
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Chapters is what the documentation says of launcher.toml.
func Chapters() []settings.Chapter { return table().Chapters() }

// table is all that launcher.toml may hold. A key is a field of Policy and a row here.
func table() settings.Table[draft] {
	return settings.Table[draft]{Manual: "launcher.toml(5)", Numbers: true, Sections: sections(), Keys: slices.Concat(
		hostKeys(),
		subIDKeys(), imageKeys(), gpuKeys(), profileKeys(), profileGPUKeys(),
		mountKeys("mount[]", true, func(d *draft, at settings.Entry) *Mount { return &d.Mounts[at.Index] }),
		mountKeys("profile.*.mount[]", false,
			func(d *draft, at settings.Entry) *Mount { return &d.profiles[at.Name].Mounts[at.Index] }))}
}

func sections() []settings.Section[draft] {
	return []settings.Section[draft]{
		{Key: "host", Doc: "What holds for every server."},
		{Key: "subids", Doc: "Where accounts without subordinate ids (`/etc/subuid`, `/etc/subgid`) get theirs " +
			"from, such as those of LDAP: each gets a range once, and a range is never given twice. No account of " +
			"your directory may have a uid or gid between `first` and the last range given: its owner could become " +
			"that account."},
		{Key: "images", Doc: "How members get images, and what the host keeps of them."},
		{Key: "gpus", Doc: "How the devices are lent that the CDI specifications in `/etc/cdi` and `/var/run/cdi` " +
			"describe (`nvidia-ctk cdi generate` makes them) to servers whose profile asks for some: [profile.NAME] " +
			"`gpus = 1`. A host without such specifications has none, and nothing here counts. `gifford-hub gpus` " +
			"lists them. A device is never lent twice, whatever its names are: those with the same device nodes are " +
			"one, and a name that stands for several devices, such as `nvidia.com/gpu=all`, is not lent."},
		{Key: "gpus.device[]", Doc: "How some devices are lent. The first section that matches a device counts; one " +
			"that none matches is exclusive.",
			Add: func(d *draft, _ settings.Entry) bool {
				d.GPUs.Devices = append(d.GPUs.Devices,
					GPURule{})
				return true
			}},
		{Key: "gpus.group.*", Doc: "Limits of a Unix group's members. Open devices do not count.", Check: checkGroup,
			Add: addGroup},
		{Key: "defaults", Doc: "What holds for every profile that does not say otherwise. Each of these keys may " +
			"be in [profile.NAME], too."},
		{Key: "defaults.mount", Refuse: "mounts of every container are written as [[mount]]"},
		{Key: "profile.*", Doc: "One choice of image and limits. There must be one. NAME is 1 to 40 of a-z, 0-9, - " +
			"and _. All keys of [defaults] may stand here, too.",
			Check: checkProfileName, Add: addProfile, SampleName: "scipy", Sample: sampleProfile},
		{Key: "mount[]", Doc: "One more directory or file of the host for every container; the section may stand " +
			"several times. The launcher examines the source at each start: it refuses a symbolic link anywhere in " +
			"it, a directory above it that others than root may write, and a source that is missing.",
			Add:    func(d *draft, _ settings.Entry) bool { d.Mounts = append(d.Mounts, Mount{}); return true },
			Sample: sampleMount},
		{Key: "profile.*.mount[]", Doc: "The same for the containers of one profile. No target may stand twice in " +
			"what a profile gets.",
			Add: addProfileMount, Sample: sampleProfileMount},
	}
}

func addGroup(d *draft, at settings.Entry) bool {
	d.groups[at.Name] = &GPUGroup{Name: at.Name}
	return true
}

// addProfile begins a profile with what [defaults] says, which is read before.
func addProfile(d *draft, at settings.Entry) bool {
	q := d.defaults.clone()
	q.Name = at.Name
	d.profiles[at.Name] = q
	return true
}

func addProfileMount(d *draft, at settings.Entry) bool {
	q := d.profiles[at.Name]
	q.Mounts = append(q.Mounts, Mount{})
	return true
}

const sampleProfile = `
# An image without a registry: made by "podman save", loaded into the host's one copy at the first
# start, or before it: gifford-hub images import NAME FILE.
#[profile.local]
#display_name = "Our own image"
#description = "what the lab has built"
#image = "localhost/lab/notebook:latest"
#archive = "/srv/images/notebook.tar"
`

const sampleMount = `
# A mount for the members of a group alone; others do not have it.
#[[mount]]
#source = "/srv/labdata"
#target = "/srv/labdata"
#unix_groups = ["labdata"]
`

const sampleProfileMount = `
# A directory of each member's own, writable, made at the first start (mode 0700) in a directory
# that only root can write. Make it writable for the service as well:
#   systemctl edit gifford-launcher     [Service]  ReadWritePaths=/scratch
#[[profile.scipy.mount]]
#source = "/scratch/{user}"
#target = "/scratch/{user}"
#read_only = false
#create = true
`

func hostKeys() []settings.Key[draft] {
	return []settings.Key[draft]{
		inHost("cluster", optionalPath(`an absolute path without , " or \, or ""`),
			func(h *Host) *string { return &h.Cluster },
			settings.Words{Default: `"/cluster"`, Sample: `"/cluster"`, Doc: "Directory that every container sees " +
				"read-only; \"\" for none. File systems that are mounted below it are as writable as Unix " +
				"permissions make them."}),
		inHost("home", homes(), func(h *Host) *string { return &h.Home },
			settings.Words{Default: `"/cluster/{user}"`, Sample: `"/cluster/{user}"`,
				Doc: "The home directories, with {user} as the last part. They are mounted writable and are HOME in " +
					"the container. A home must be a real directory of the member's own; symbolic links are " +
					"refused."}),
		inHost("create_home", settings.Bool(), func(h *Host) *bool { return &h.CreateHome },
			settings.Words{Default: `false`, Sample: `false`,
				Doc: "Whether the launcher makes a home that is missing, in a directory that only root can write. " +
					"Homes elsewhere than below /cluster need a drop-in for the service: `systemctl edit " +
					"gifford-launcher`, with ReadWritePaths=/srv/homes in [Service]."}),
		inHost("home_mode", mode[fs.FileMode]("an octal mode in quotes, such as \"0700\""),
			func(h *Host) *fs.FileMode { return &h.HomeMode },
			settings.Words{Default: `"0700"`, Doc: "Mode of a home that the launcher makes."}),
		inHost("min_uid", settings.Whole[uint32]("a whole number from 1", 1, 1<<32-1),
			func(h *Host) *uint32 { return &h.MinUID },
			settings.Words{Default: `1000`, Doc: "Accounts with a lower number never get a server."}),
		inHost("deny_users", users(), func(h *Host) *[]ident.User { return &h.DenyUsers },
			settings.Words{Default: `[]`, Example: `["mallory"]`,
				Doc: "Members who never get a server, whatever else is true."}),
		inHost("unix_groups", unixGroups(), func(h *Host) *[]string { return &h.UnixGroups },
			settings.Words{Default: `[]`, Example: `["cgs"]`,
				Doc: "Unix groups of which everyone needs one to have a server, whatever the hub says; empty: there " +
					"is no such rule. An unknown group refuses everyone."}),
		inHost("hub_api_port", settings.Whole[uint16]("a port from 1 to 65535", 1, 65535),
			func(h *Host) *uint16 { return &h.HubAPIPort },
			settings.Words{Default: `8081`, Doc: "The port of the hub's API on 127.0.0.1, that of " +
				"gifford-hub-api.socket. Containers have the API at the same port of their own loopback; no port of " +
				"the host's is open to them."}),
		inHost("usage_time", duration(`"10m"`), func(h *Host) *time.Duration { return &h.UsageTime },
			settings.Words{Default: `"10m"`, Doc: "How long one measuring of what a member's files take may last. " +
				"The hub says how often: [disk] in hub.toml."}),
		inHost("umask", mode[uint32]("an octal mask in quotes, such as \"0022\""),
			func(h *Host) *uint32 { return &h.UMask },
			settings.Words{Default: `"0022"`, Doc: "File mode mask of the processes in containers that set none " +
				"themselves."}),
	}
}

func inHost[T any](name string, k settings.Kind[T], field func(*Host) *T, w settings.Words) settings.Key[draft] {
	return settings.Define("host."+name, k, func(d *draft, _ settings.Entry) *T { return field(&d.Host) }, w)
}

func subIDKeys() []settings.Key[draft] {
	return []settings.Key[draft]{
		// 524288 is where systemd's range for containers begins (systemd.io/UIDS-GIDS).
		settings.Define("subids.first", settings.Whole[uint32]("a whole number from 1 to 4294967294", 1, maxID),
			func(d *draft, _ settings.Entry) *uint32 { return &d.SubIDs.First },
			settings.Words{Default: `524288`, Doc: "The first id that may be given."}),
		// 2000 covers the ids of an image's accounts and of the group and user "nobody" of most distributions'
		// packages, with the member at 1000.
		settings.Define("subids.count", settings.Whole[uint32]("a whole number from 2000 to 4294967294", 2000, maxID),
			func(d *draft, _ settings.Entry) *uint32 { return &d.SubIDs.Count },
			settings.Words{Default: `65536`, Doc: "Ids for each account, at least 2000."}),
	}
}

func imageKeys() []settings.Key[draft] {
	return []settings.Key[draft]{
		inImages("share", settings.Bool(), func(i *Images) *bool { return &i.Share },
			settings.Words{Default: `true`, Doc: "Members see the one copy of each image that the host has. With " +
				"false, or where the kernel cannot do it, each member has a copy, made at the first start."}),
		inImages("allow", imagePatterns(), func(i *Images) *[]string { return &i.Allow },
			settings.Words{Default: `[]`, Example: `["quay.io/jupyter/*"]`,
				Doc: "Names that may be pulled or imported besides those of the profiles; * is anything but /."}),
		inImages("keep_former", settings.Whole[int]("a whole number", 0, 1<<32-1),
			func(i *Images) *int { return &i.KeepFormer },
			settings.Words{Default: `2`, Doc: "Images that a name had before, retained for `gifford-hub images " +
				"rollback`."}),
		inImages("min_free", size(`a size such as "5G"`), func(i *Images) *uint64 { return &i.MinFree },
			settings.Words{Default: `"5G"`, Doc: "With less free space nothing is pulled or imported, and " +
				"what is under way ends."}),
		inImages("pull_timeout", duration(`"6h"`), func(i *Images) *time.Duration { return &i.PullTimeout },
			settings.Words{Default: `"6h"`, Doc: "The longest that a pull or an import may take. A pull for which " +
				"nothing comes ends after two minutes."}),
	}
}

func inImages[T any](name string, k settings.Kind[T], field func(*Images) *T, w settings.Words) settings.Key[draft] {
	return settings.Define("images."+name, k, func(d *draft, _ settings.Entry) *T { return field(&d.Images) }, w)
}

func mountKeys(section string, documented bool, of func(*draft, settings.Entry) *Mount) []settings.Key[draft] {
	keys := []settings.Key[draft]{
		settings.Define(section+".source", source(), func(d *draft,
			at settings.Entry) *string {
			return &of(d, at).Source
		},
			settings.Words{Example: `"/data"`, Doc: "An absolute path on the host, not in /dev. Its last part may " +
				"be {user}: then it is a directory of the member's own. Required."}),
		settings.Define(section+".target", target(), func(d *draft,
			at settings.Entry) *string {
			return &of(d, at).Target
		},
			settings.Words{Example: `"/data"`, Doc: "An absolute path in the container, in which {user} may stand " +
				"as a whole part. It cannot be the root, /etc or one of the files in it that Podman makes, /run or " +
				"/run/jupyter, in /proc, /sys or /dev, nor cover `cluster` or the homes; nor lie in the member's " +
				"home. Required."}),
		settings.Define(section+".read_only", settings.Bool(),
			func(d *draft, at settings.Entry) *bool { return &of(d, at).ReadOnly },
			settings.Words{Default: `true`, Doc: "What is mounted below the source is as writable as Unix " +
				"permissions make it."}),
		settings.Define(section+".create", settings.Bool(), func(d *draft,
			at settings.Entry) *bool {
			return &of(d, at).Create
		},
			settings.Words{Default: `false`, Doc: "Whether the launcher makes a source with {user} that is missing, " +
				"mode 0700, in a directory that only root can write. Other places than below /cluster need a " +
				"drop-in with their ReadWritePaths= for gifford-launcher.service."}),
		settings.Define(section+".unix_groups", unixGroups(),
			func(d *draft, at settings.Entry) *[]string { return &of(d, at).UnixGroups },
			settings.Words{Default: `[]`, Example: `["labdata"]`,
				Doc: "The mount is for members of one of these groups; others' containers lack it. Empty: for " +
					"everyone."}),
	}
	if !documented {
		hide(keys)
	}
	return keys
}

// hide takes away what the documentation says elsewhere, in another section with the same keys.
func hide(keys []settings.Key[draft]) {
	for i := range keys {
		keys[i].Doc = ""
	}
}

// addEnvironment adds variables to those of [defaults] where others' values replace what was there.
func addEnvironment(of func(*draft, settings.Entry) *Profile) func(*draft, settings.Entry, any) error {
	return func(d *draft, at settings.Entry, v any) error {
		more, err := readEnvironment(v)
		if err != nil {
			return err
		}
		q := of(d, at)
		env := maps.Clone(q.Env)
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, more)
		q.Env = env
		return nil
	}
}
