package policy

import (
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// profileKeys are those of [defaults] and [profile.NAME]. The documentation has those that are mostly for all profiles
// in the first, the others in the second.
func profileKeys() []settings.Key[draft] {
	return slices.Concat(
		ofOne("default", settings.Bool(), func(p *Profile) *bool { return &p.Default },
			settings.Words{Example: `true`, Sample: `true`, Doc: "The profile that is taken when none is named. " +
				"With more than one profile, exactly one has `true`."}),
		ofOne("display_name", line("text"), func(p *Profile) *string { return &p.DisplayName },
			settings.Words{Example: `"Scientific Python"`, Sample: `"Scientific Python"`,
				Doc: "What people are shown as its name. Left out: NAME."}),
		ofOne("description", line("text"), func(p *Profile) *string { return &p.Description },
			settings.Words{Example: sampleDescription, Sample: sampleDescription,
				Doc: "What people are shown besides."}),
		ofOne("image", image(), func(p *Profile) *string { return &p.Image },
			settings.Words{Example: `"quay.io/jupyter/scipy-notebook:latest"`,
				Sample: `"quay.io/jupyter/scipy-notebook:latest"`,
				Doc:    "The image's name. Required."}),
		ofOne("archive", optionalPath("an absolute path of a docker-archive or oci-archive"),
			func(p *Profile) *string { return &p.Archive },
			settings.Words{Example: `"/srv/images/scipy.tar"`,
				Doc: "A docker-archive or oci-archive that is loaded when the host's store lacks the image, or the " +
					"member's own where it has a copy."}),
		ofAll("pull", settings.OneOf(PullMissing, PullNever), func(p *Profile) *Pull { return &p.Pull },
			settings.Words{Example: `"missing"`, Doc: "`\"missing\"` asks the registry for an image that is not " +
				"there, `\"never\"` does not. Left out: `\"missing\"`, or `\"never\"` with an archive."}),
		ofAll("command", words("a list of texts"), func(p *Profile) *[]string { return &p.Command },
			settings.Words{Default: `["jupyterhub-singleuser"]`,
				Doc: "The command in the container; an empty list is the image's own."}),
		ofAll("args", words("a list of texts"), func(p *Profile) *[]string { return &p.Args },
			settings.Words{Default: `[]`, Doc: "What is added to the command."}),
		ofAll("user_mapping", settings.OneOf(MapImage, MapHost), func(p *Profile) *Mapping { return &p.UserMapping },
			settings.Words{Default: `"image"`, Doc: "Who the member is in the container: `\"image\"` is uid 1000 " +
				"and gid 100, the user of docker-stacks images; `\"host\"` is the name and number on the host."}),
		ofAll("network", settings.OneOf(NetworkOpen, NetworkIsolated), func(p *Profile) *Network { return &p.Network },
			settings.Words{Default: `"open"`, Doc: "What a container reaches: `\"open\"` is what a process of the " +
				"member's on the host reaches, the host's own addresses included, but not its loopback; " +
				"`\"isolated\"` leaves the host's addresses out. The hub's API and the host's name resolution work " +
				"in both."}),
		ofAll("allow_sudo", settings.Bool(), func(p *Profile) *bool { return &p.AllowSudo },
			settings.Words{Default: `true`, Doc: "Whether processes in the container may gain privileges there, as " +
				"the image's sudo does. They are root of the container then, never of the host."}),
		environmentKeys(),
		ofAll("notebook_dir", notebookDir(), func(p *Profile) *string { return &p.NotebookDir },
			settings.Words{Example: `"{home}/notebooks"`, Doc: "Where notebooks start, an absolute path or one that " +
				"begins with {home}/; it may hold {user}, and is made if it is missing. Left out: the home."}),
		ofAll("default_url", urlPath(), func(p *Profile) *string { return &p.DefaultURL },
			settings.Words{Example: `"/lab"`, Doc: "The page that opens, such as `/lab` or `/tree`. Left out: the " +
				"image's own."}),
		limitKeys(),
		ofAll("persistent", settings.Bool(), func(p *Profile) *bool { return &p.Persistent },
			settings.Words{Default: `false`, Doc: "Whether a server's container stays when it stops and is started " +
				"again, with all that was installed in it, until `gifford-hub servers reset` or the member resets " +
				"it. The image, command, env, mounts, user_mapping and allow_sudo of a persistent container stay as " +
				"they were when it was made; all else counts at each start. The image needs /bin/sh. The container " +
				"keeps its devices, too: it starts again with these, and waits while another server holds them. One " +
				"that was first started without devices has none until it is reset."}),
		ofAll("unix_groups", unixGroups(), func(p *Profile) *[]string { return &p.UnixGroups },
			settings.Words{Default: `[]`, Example: `["gpu"]`,
				Doc: "Unix groups one of which is needed for a profile; empty: everyone may use it."}),
		ofOne("public", publicPaths(), func(p *Profile) *[]string { return &p.Public },
			settings.Words{Default: `[]`, Example: `["voila/render/public"]`,
				Doc: "Paths of its servers, relative to a server's own, that everybody may open without the hub, " +
					"with all below them. The server itself may still ask who it is."}),
	)
}

const sampleDescription = `"JupyterLab with NumPy, SciPy, pandas and matplotlib"`

func limitKeys() []settings.Key[draft] {
	return slices.Concat(
		ofAll("memory_max", size(`a size such as "16G", or "infinity"`),
			func(p *Profile) *uint64 { return &p.MemoryMax },
			settings.Words{Default: `"infinity"`, Sample: `"16G"`, Doc: "Memory of a server, such as `\"16G\"`, or " +
				"`\"infinity\"`; as MemoryMax= of systemd.resource-control(5)."}),
		ofAll("memory_high", size(`a size such as "12G", or "infinity"`),
			func(p *Profile) *uint64 { return &p.MemoryHigh },
			settings.Words{Default: `"infinity"`, Doc: "Memory from which on a server is slowed down, as " +
				"MemoryHigh=."}),
		ofAll("cpu_quota", quota(), func(p *Profile) *uint64 { return &p.CPUQuota },
			settings.Words{Default: `"infinity"`, Sample: `"400%"`,
				Doc: "Processor time, as CPUQuota=; `\"100%\"` is one processor."}),
		ofAll("tasks_max", number(), func(p *Profile) *uint64 { return &p.TasksMax },
			settings.Words{Default: `"infinity"`, Sample: `4096`,
				Doc: "Number of processes and threads, as TasksMax=."}),
		ofAll("start_timeout", duration(`"2m"`), func(p *Profile) *time.Duration { return &p.StartTimeout },
			settings.Words{Default: `"2m"`, Doc: "From the unit's start to a running container, without the image."}),
		ofAll("image_timeout", duration(`"15m"`), func(p *Profile) *time.Duration { return &p.ImageTimeout },
			settings.Words{Default: `"15m"`, Doc: "For loading or pulling the image."}),
		ofAll("stop_timeout", duration(`"20s"`), func(p *Profile) *time.Duration { return &p.StopTimeout },
			settings.Words{Default: `"20s"`, Doc: "From SIGTERM to SIGKILL."}),
	)
}

func environmentKeys() []settings.Key[draft] {
	keys := ofAll("env", environment(), func(p *Profile) *map[string]string { return &p.Env },
		settings.Words{Default: `{ }`, Example: `{ LANG = "C.UTF-8" }`,
			Doc: "More environment. A profile's variables are added to those of [defaults]. Names that begin with " +
				"JUPYTERHUB_ are the hub's."})
	keys[0].Read, keys[1].Read = addEnvironment(theDefaults), addEnvironment(theProfile)
	return keys
}

func profileGPUKeys() []settings.Key[draft] {
	return slices.Concat(
		ofAll("gpus", devices(), func(p *Profile) *int { return &p.GPUs.Count },
			settings.Words{Default: `0`, Doc: "How many devices of CDI specifications a server holds, up to 64; " +
				"\"all\" is every one that is open to all, and none where there is none. A server that cannot have " +
				"them now waits in the queue. Of several devices it gets one that is not open to all, with the " +
				"fewest holders, with the least memory."}),
		ofAll("gpu_kind", cdiPattern(`a kind such as "nvidia.com/gpu", or a pattern of qualified CDI names `+
			`such as "nvidia.com/gpu=0:*"`),
			func(p *Profile) *string { return &p.GPUs.Kind },
			settings.Words{Example: `"nvidia.com/gpu"`, Doc: "A kind such as `nvidia.com/gpu`, or a pattern of " +
				"qualified names such as `nvidia.com/gpu=*:*` for MIG devices. Left out: any."}),
		ofAll("gpu_memory", finiteSize(`a size such as "40G"`), func(p *Profile) *uint64 { return &p.GPUs.Memory },
			settings.Words{Example: `"40G"`, Doc: "The least memory of a device. The vendor's tool says how much " +
				"one has; a device of which it is not known is not taken. Left out: any."}),
		ofAll("gpu_model", modelPattern(), func(p *Profile) *string { return &p.GPUs.Model },
			settings.Words{Example: `"*H100*"`, Doc: "A pattern of a device's model as the vendor's tool names it, " +
				"in which case does not count; a device of which it is not known is not taken. Left out: any."}),
	)
}

func theDefaults(d *draft, _ settings.Entry) *Profile { return &d.defaults }

func theProfile(d *draft, at settings.Entry) *Profile { return d.profiles[at.Name] }

// ofAll makes the key of [defaults] and that of [profile.NAME], of which the first is documented.
func ofAll[T any](name string, k settings.Kind[T], field func(*Profile) *T, w settings.Words) []settings.Key[draft] {
	return []settings.Key[draft]{inProfile("defaults."+name, k, theDefaults, field, w),
		inProfile("profile.*."+name, k, theProfile, field, settings.Words{})}
}

// ofOne makes both keys, of which the second is documented.
func ofOne[T any](name string, k settings.Kind[T], field func(*Profile) *T, w settings.Words) []settings.Key[draft] {
	return []settings.Key[draft]{inProfile("defaults."+name, k, theDefaults, field, settings.Words{}),
		inProfile("profile.*."+name, k, theProfile, field, w)}
}

func inProfile[T any](key string, k settings.Kind[T], of func(*draft, settings.Entry) *Profile, field func(*Profile) *T,
	w settings.Words) settings.Key[draft] {
	return settings.Define(key, k, func(d *draft, at settings.Entry) *T { return field(of(d, at)) }, w)
}
