package policy

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// file is launcher.toml as it is written. Its types refuse values by UnmarshalText, so
// that the decoder's errors carry the line.
type file struct {
	Host     host                `toml:"host"`
	SubIDs   subIDs              `toml:"subids"`
	Images   images              `toml:"images"`
	GPUs     gpus                `toml:"gpus"`
	Defaults profile             `toml:"defaults"`
	Profile  map[string]*profile `toml:"profile"`
	Mount    []mount             `toml:"mount"`
}

type host struct {
	Cluster    optionalPath `toml:"cluster"`
	Home       template     `toml:"home"`
	CreateHome bool         `toml:"create_home"`
	HomeMode   mode         `toml:"home_mode"`
	MinUID     uint32       `toml:"min_uid"`
	DenyUsers  []ident.User `toml:"deny_users"`
	UnixGroups []group      `toml:"unix_groups"`
	HubAPIPort uint16       `toml:"hub_api_port"`
	UsageTime  duration     `toml:"usage_time"`
	UMask      mode         `toml:"umask"`
}

type subIDs struct {
	First uint32 `toml:"first"`
	Count uint32 `toml:"count"`
}

type images struct {
	Share      bool      `toml:"share"`
	Allow      []pattern `toml:"allow"`
	KeepFormer uint32    `toml:"keep_former"`
	MinFree    size      `toml:"min_free"`
}

func (i images) images() Images {
	all := Images{Share: i.Share, KeepFormer: int(i.KeepFormer), MinFree: i.MinFree.uint64}
	for _, p := range i.Allow {
		all.Allow = append(all.Allow, p.string)
	}
	return all
}

type gpus struct {
	MaxPerUser number               `toml:"max_per_user"`
	Device     []gpuRule            `toml:"device"`
	Group      map[string]*gpuGroup `toml:"group"`
}

type gpuRule struct {
	Match      []gpuPattern `toml:"match"`
	Sharing    sharing      `toml:"sharing"`
	Places     uint32       `toml:"places"`
	UnixGroups []group      `toml:"unix_groups"`
}

type gpuGroup struct {
	MaxPerUser number `toml:"max_per_user"`
	Max        number `toml:"max"`
}

type mount struct {
	Source     source  `toml:"source"`
	Target     target  `toml:"target"`
	ReadOnly   *bool   `toml:"read_only"`
	Create     bool    `toml:"create"`
	UnixGroups []group `toml:"unix_groups"`
}

type profile struct {
	DisplayName  text            `toml:"display_name"`
	Description  text            `toml:"description"`
	Image        image           `toml:"image"`
	Archive      optionalPath    `toml:"archive"`
	Pull         pull            `toml:"pull"`
	Command      []text          `toml:"command"`
	Args         []text          `toml:"args"`
	UserMapping  mapping         `toml:"user_mapping"`
	AllowSudo    bool            `toml:"allow_sudo"`
	Env          map[string]text `toml:"env"`
	NotebookDir  optionalDir     `toml:"notebook_dir"`
	DefaultURL   urlPath         `toml:"default_url"`
	MemoryMax    size            `toml:"memory_max"`
	MemoryHigh   size            `toml:"memory_high"`
	CPUQuota     quota           `toml:"cpu_quota"`
	TasksMax     number          `toml:"tasks_max"`
	StartTimeout duration        `toml:"start_timeout"`
	ImageTimeout duration        `toml:"image_timeout"`
	StopTimeout  duration        `toml:"stop_timeout"`
	Persistent   bool            `toml:"persistent"`
	GPUs         devices         `toml:"gpus"`
	GPUKind      gpuPattern      `toml:"gpu_kind"`
	GPUMemory    size            `toml:"gpu_memory"`
	GPUModel     gpuModel        `toml:"gpu_model"`
	UnixGroups   []group         `toml:"unix_groups"`
	Mount        []mount         `toml:"mount"`
	Default      bool            `toml:"default"`
}

func newFile() file {
	return file{
		Host: host{Cluster: optionalPath{"/cluster"}, Home: template{"/cluster/{user}"}, HomeMode: mode{0o700},
			MinUID: 1000, HubAPIPort: 8081, UsageTime: duration{10 * time.Minute}, UMask: mode{0o022}},
		// 524288 is where systemd's range for containers begins (systemd.io/UIDS-GIDS).
		SubIDs:   subIDs{First: 524288, Count: 65536},
		Images:   images{Share: true, KeepFormer: 2, MinFree: size{5 << 30}},
		GPUs:     gpus{MaxPerUser: number{Infinity}},
		Defaults: builtIn(),
	}
}

// builtIn is what holds where neither the profile nor [defaults] says otherwise.
func builtIn() profile {
	return profile{
		Command: []text{{"jupyterhub-singleuser"}}, UserMapping: mapping{string(MapImage)}, AllowSudo: true,
		MemoryMax: size{Infinity}, MemoryHigh: size{Infinity}, CPUQuota: quota{Infinity}, TasksMax: number{Infinity},
		StartTimeout: duration{2 * time.Minute}, ImageTimeout: duration{15 * time.Minute},
		StopTimeout: duration{20 * time.Second},
	}
}

// clone shares nothing with p: the decoder writes into lists and tables that it finds.
func (p profile) clone() *profile {
	p.Mount = nil // refused in [defaults]
	p.Command, p.Args = slices.Clone(p.Command), slices.Clone(p.Args)
	p.UnixGroups, p.Env = slices.Clone(p.UnixGroups), maps.Clone(p.Env)
	return &p
}

func (h host) host() Host {
	return Host{h.Cluster.string, h.Home.string, h.CreateHome, fs.FileMode(h.HomeMode.uint32), h.MinUID, h.DenyUsers,
		groups(h.UnixGroups), h.HubAPIPort, h.UsageTime.Duration, h.UMask.uint32}
}

func (m mount) mount() Mount {
	return Mount{m.Source.string, m.Target.string, m.ReadOnly == nil || *m.ReadOnly,
		path.Base(m.Source.string) == userPart, m.Create, groups(m.UnixGroups)}
}

func (p *profile) profile(name string) Profile {
	q := Profile{
		Name: name, DisplayName: p.DisplayName.string, Description: p.Description.string,
		Image: p.Image.string, Archive: p.Archive.string, Pull: Pull(p.Pull.string),
		Command: words(p.Command), Args: words(p.Args), UserMapping: Mapping(p.UserMapping.string),
		AllowSudo: p.AllowSudo,
		Env:       map[string]string{}, NotebookDir: p.NotebookDir.string, DefaultURL: p.DefaultURL.string,
		MemoryMax: p.MemoryMax.uint64, MemoryHigh: p.MemoryHigh.uint64, CPUQuota: p.CPUQuota.uint64,
		TasksMax:     p.TasksMax.uint64,
		StartTimeout: p.StartTimeout.Duration, ImageTimeout: p.ImageTimeout.Duration,
		StopTimeout: p.StopTimeout.Duration,
		GPUs:        GPUWish{p.GPUs.int, p.GPUKind.string, p.GPUMemory.uint64, p.GPUModel.string},
		Persistent:  p.Persistent, UnixGroups: groups(p.UnixGroups), Default: p.Default,
	}
	for name, v := range p.Env {
		q.Env[name] = v.string
	}
	for _, m := range p.Mount {
		q.Mounts = append(q.Mounts, m.mount())
	}
	if q.DisplayName == "" {
		q.DisplayName = name
	}
	// An archive is the administrator's copy: a registry must not replace it behind their back.
	if q.Pull == "" && q.Archive == "" {
		q.Pull = PullMissing
	} else if q.Pull == "" {
		q.Pull = PullNever
	}
	return q
}

func words(list []text) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = w.string
	}
	return out
}

func groups(list []group) []string {
	out := make([]string, len(list))
	for i, g := range list {
		out[i] = g.string
	}
	return out
}
