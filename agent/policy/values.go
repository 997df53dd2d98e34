package policy

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Each kind of value is a struct: the decoder fills strings and numbers without asking
// UnmarshalText.
type (
	text         struct{ string }
	group        struct{ string }
	image        struct{ string }
	pattern      struct{ string }
	gpuPattern   struct{ string }
	gpuModel     struct{ string }
	sharing      struct{ string }
	devices      struct{ int }
	pull         struct{ string }
	mapping      struct{ string }
	optionalPath struct{ string }
	optionalDir  struct{ string }
	source       struct{ string }
	target       struct{ string }
	template     struct{ string }
	urlPath      struct{ string }
	mode         struct{ uint32 }
	size         struct{ uint64 }
	quota        struct{ uint64 }
	number       struct{ uint64 }
	duration     struct{ time.Duration }
)

// expected says for each key what its value must be.
var expected = map[string]string{
	"cluster":     "an absolute path without , \" or \\, or \"\"",
	"home":        "an absolute path with {user} as its last part, such as \"/cluster/{user}\"",
	"create_home": "true or false", "home_mode": "an octal mode in quotes, such as \"0700\"",
	"min_uid":    "a whole number from 1",
	"deny_users": "a list of user names", "unix_groups": "a list of Unix groups",
	"hub_api_port": "a port from 1 to 65535",
	"umask":        "an octal mask in quotes, such as \"0022\"", "first": "a whole number from 1 to 4294967294",
	"count":     "a whole number from 2000 to 4294967294",
	"source":    "an absolute path without , \" or \\, not in /dev, in which {user} may be the last part",
	"read_only": "true or false", "create": "true or false",
	"target": "an absolute path without , \" or \\ that is not the kernel's, Podman's or the hub's own in the " +
		"container",
	"usage_time":   "a time above zero, such as \"10m\"",
	"display_name": "text", "description": "text", "image": "an image name, such as " +
		"\"quay.io/jupyter/scipy-notebook:latest\"",
	"archive": "an absolute path of a docker-archive or oci-archive", "pull": "\"missing\" or \"never\"",
	"command": "a list of texts", "args": "a list of texts", "user_mapping": "\"image\" or \"host\"",
	"allow_sudo":   "true or false",
	"env":          "a table of texts, such as { LANG = \"C.UTF-8\" }",
	"notebook_dir": "an absolute path or one that begins with {home}/",
	"default_url":  "a path such as \"/lab\"", "memory_max": "a size such as \"16G\", or \"infinity\"",
	"memory_high":   "a size such as \"12G\", or \"infinity\"",
	"cpu_quota":     "a percentage of one processor such as \"400%\", or \"infinity\"",
	"tasks_max":     "a whole number from 1, or \"infinity\"",
	"start_timeout": "a time above zero, such as \"2m\"", "image_timeout": "a time above zero, such as \"15m\"",
	"stop_timeout": "a time above zero, such as \"20s\"",
	"default":      "true or false", "persistent": "true or false", "share": "true or false",
	"allow":       "a list of image names, in which * stands for anything but /, such as \"quay.io/jupyter/*\"",
	"keep_former": "a whole number", "min_free": "a size such as \"5G\"",
	"max_per_user": "a whole number from 1, or \"infinity\"", "max": "a whole number from 1, or \"infinity\"",
	"match":   "a list of qualified CDI names, in which * stands for anything but /, such as \"nvidia.com/gpu=*\"",
	"sharing": "\"exclusive\", \"shared\" or \"open\"", "places": "a whole number from 1",
	"gpus": "a whole number up to 64, or \"all\"", "gpu_memory": "a size such as \"40G\"",
	"gpu_kind": "a kind such as \"nvidia.com/gpu\", or a pattern of qualified CDI names such as " +
		"\"nvidia.com/gpu=0:*\"",
	"gpu_model": "a pattern of the vendor's name of a device, such as \"*H100*\"",
}

func control(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// badValue is a value that its kind refuses.
type badValue struct{ want, found string }

func (e *badValue) Error() string { return fmt.Sprintf("expected %s, found %.60q", e.want, e.found) }

func want(key string, b []byte) error { return &badValue{expected[key], string(b)} }

func (t *text) UnmarshalText(b []byte) error {
	if control(string(b)) {
		return &badValue{"text without control characters", string(b)}
	}
	t.string = string(b)
	return nil
}

// UnmarshalText refuses what getent(1) would take for an option, a number or a list.
func (g *group) UnmarshalText(b []byte) error {
	if !validGroup(string(b)) {
		return &badValue{"the name of a Unix group", string(b)}
	}
	g.string = string(b)
	return nil
}

// validGroup reports whether s can be the name of a Unix group: not empty, not all
// digits, no leading hyphen, no character that separates fields in group(5).
func validGroup(s string) bool {
	return s != "" && len(s) <= 256 && s[0] != '-' && strings.Trim(s, "0123456789") != "" &&
		!strings.ContainsAny(s, ":,/ ") && !control(s)
}

// UnmarshalText takes what can be an image reference and not an option or a transport
// ("docker-archive:/path").
func (i *image) UnmarshalText(b []byte) error {
	s := string(b)
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@"
	if s == "" || strings.Trim(s, allowed) != "" || strings.ContainsAny(s[:1], "-./:@") || strings.Contains(s, ":/") ||
		strings.Contains(s, "//") {
		return want("image", b)
	}
	i.string = s
	return nil
}

// UnmarshalText wants a pattern that path.Match understands.
func (p *pattern) UnmarshalText(b []byte) error {
	if _, err := path.Match(string(b), ""); err != nil || len(b) == 0 || control(string(b)) {
		return want("allow", b)
	}
	p.string = string(b)
	return nil
}

// UnmarshalText wants a pattern of what can be "vendor/class=name" or "vendor/class".
func (p *gpuPattern) UnmarshalText(b []byte) error {
	if _, err := path.Match(string(b), ""); err != nil || strings.Count(string(b), "/") != 1 ||
		strings.ContainsAny(string(b), ", ") || control(string(b)) {
		return want("gpu_kind", b)
	}
	p.string = string(b)
	return nil
}

func (m *gpuModel) UnmarshalText(b []byte) error {
	if _, err := path.Match(string(b), ""); err != nil || len(b) == 0 || control(string(b)) {
		return want("gpu_model", b)
	}
	m.string = string(b)
	return nil
}

func (s *sharing) UnmarshalText(b []byte) error {
	if v := Sharing(b); v != Exclusive && v != Shared && v != Open {
		return want("sharing", b)
	}
	s.string = string(b)
	return nil
}

func (d *devices) UnmarshalText(b []byte) error {
	if string(b) == "all" {
		d.int = AllGPUs
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil || n > 64 {
		return want("gpus", b)
	}
	d.int = int(n)
	return nil
}

func (p *pull) UnmarshalText(b []byte) error {
	if v := Pull(b); v != PullMissing && v != PullNever {
		return want("pull", b)
	}
	p.string = string(b)
	return nil
}

func (m *mapping) UnmarshalText(b []byte) error {
	if v := Mapping(b); v != MapImage && v != MapHost {
		return want("user_mapping", b)
	}
	m.string = string(b)
	return nil
}

// clean reports whether a path is absolute, in its shortest form, and can stand in an
// argument of podman's --mount, which is a line of comma-separated values.
func clean(s string) bool {
	return path.IsAbs(s) && path.Clean(s) == s && s != "/" && !strings.ContainsAny(s, `,"\`) && !control(s)
}

func (p *optionalPath) UnmarshalText(b []byte) error {
	if s := string(b); s != "" && !clean(s) {
		return want("cluster", b)
	}
	p.string = string(b)
	return nil
}

// UnmarshalText takes {user} as the last part only: what lies below a member's directory is the
// member's to change. The launcher's own unit has another /dev than the host.
func (p *source) UnmarshalText(b []byte) error {
	s := string(b)
	if !clean(s) || within(s, "/dev") || strings.Contains(path.Dir(s), userPart) || !wholeParts(s) ||
		path.Dir(s) == "/" && path.Base(s) == userPart {
		return want("source", b)
	}
	p.string = s
	return nil
}

func (p *target) UnmarshalText(b []byte) error {
	s := string(b)
	if !clean(s) || !wholeParts(s) || !freeTarget(s) || path.Dir(s) == "/" && path.Base(s) == userPart {
		return want("target", b)
	}
	p.string = s
	return nil
}

func (p *optionalDir) UnmarshalText(b []byte) error {
	s := string(b)
	below, inHome := strings.CutPrefix(s, "{home}")
	if s != "" && !(inHome && (below == "" || clean(below))) && !clean(s) {
		return want("notebook_dir", b)
	}
	p.string = s
	return nil
}

func (t *template) UnmarshalText(b []byte) error {
	s := string(b)
	if !clean(s) || path.Base(s) != "{user}" || path.Dir(s) == "/" {
		return want("home", b)
	}
	t.string = s
	return nil
}

func (u *urlPath) UnmarshalText(b []byte) error {
	if s := string(b); s != "" && s[0] != '/' || control(string(b)) {
		return want("default_url", b)
	}
	u.string = string(b)
	return nil
}

func (m *mode) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 8, 32)
	if err != nil || n > 0o777 {
		return want("home_mode", b)
	}
	m.uint32 = uint32(n)
	return nil
}

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < time.Second || v > 24*time.Hour {
		return &badValue{"a time from \"1s\" to \"24h\"", string(b)}
	}
	d.Duration = v
	return nil
}

func (n *number) UnmarshalText(b []byte) (err error) {
	n.uint64, err = limit("tasks_max", b, map[string]uint64{"": 1})
	return err
}

// UnmarshalText reads systemd's sizes: base 1024, whole numbers.
func (s *size) UnmarshalText(b []byte) (err error) {
	s.uint64, err = limit("memory_max", b, map[string]uint64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30,
		"T": 1 << 40})
	return err
}

// UnmarshalText gives microseconds a second: "100%" is one whole processor.
func (q *quota) UnmarshalText(b []byte) (err error) {
	q.uint64, err = limit("cpu_quota", b, map[string]uint64{"%": 10000})
	return err
}

// limit reads a whole number above zero with one of the units, or "infinity".
func limit(key string, b []byte, units map[string]uint64) (uint64, error) {
	s := string(b)
	if s == "infinity" {
		return Infinity, nil
	}
	digits := strings.TrimRight(s, "KMGT%")
	factor, ok := units[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || n == 0 || n >= Infinity/factor {
		return 0, want(key, b)
	}
	return n * factor, nil
}
