package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Problem is what is wrong with the file.
type Problem struct {
	File string
	Line int    // 0 when nothing of the file can be pointed at, such as a key that is missing
	Key  string // "profile.lab.image"; "" when the file is not TOML
	Text string // what is wrong and what is expected
}

func (p Problem) Error() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Key != "" {
		where += ": " + p.Key
	}
	return where + ": " + p.Text
}

// Problems is the error that Parse returns.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Parse reads launcher.toml; file is its path, for messages. The error is Problems.
func Parse(file string, data []byte) (*Policy, error) {
	f, err := decode(data)
	if err != nil {
		return nil, explain(file, data, err)
	}
	p := f.policy()
	if len(f.Defaults.Mount) > 0 {
		return nil, Problems{{file, lineOf(data, "defaults.mount"), "defaults.mount",
			"mounts of every container are written as [[mount]]"}}
	}
	if problems := append(p.check(file, data), f.checkWishes(p, file, data)...); problems != nil {
		return nil, problems
	}
	return p, nil
}

// decode reads the file twice: first for [defaults] and the names of the profiles, then
// into profiles that begin as copies of the defaults.
func decode(data []byte) (file, error) {
	first := file{Defaults: builtIn()}
	var names struct {
		Profile map[string]any `toml:"profile"`
	}
	// What is wrong here is found again, with its line, by the second and strict reading.
	_ = toml.Unmarshal(data, &first)
	_ = toml.Unmarshal(data, &names)
	second := newFile()
	second.Profile = map[string]*profile{}
	for name := range names.Profile {
		second.Profile[name] = first.Defaults.clone()
	}
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&second)
	// The decoder replaces inline tables and adds to others: variables always add up.
	for _, q := range second.Profile {
		for name, v := range second.Defaults.Env {
			if _, own := q.Env[name]; !own && q.Env != nil {
				q.Env[name] = v
			}
		}
	}
	return second, err
}

func (f file) policy() *Policy {
	p := &Policy{Host: f.Host.host(), SubIDs: SubIDs{f.SubIDs.First, f.SubIDs.Count}, Images: f.Images.images(),
		GPUs: f.GPUs.gpus()}
	for _, m := range f.Mount {
		p.Mounts = append(p.Mounts, m.mount())
	}
	for _, name := range slices.Sorted(maps.Keys(f.Profile)) {
		p.Profiles = append(p.Profiles, f.Profile[name].profile(name))
	}
	slices.SortStableFunc(p.Profiles, func(a, b Profile) int { return cmp.Compare(rank(a), rank(b)) })
	return p
}

func rank(p Profile) int {
	if p.Default {
		return 0
	}
	return 1
}

// profileName is what may stand in a URL, a unit's environment and a page.
var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// check finds what no single value shows.
func (p *Policy) check(file string, data []byte) Problems {
	var ps Problems
	add := func(key, format string, args ...any) {
		ps = append(ps, Problem{file, lineOf(data, key), key, fmt.Sprintf(format, args...)})
	}
	p.checkHost(add)
	p.checkProfiles(add)
	p.checkGPUs(add, func(n int, format string, args ...any) {
		ps = append(ps, Problem{file, lineOfSection(data, "gpus.device", n), "gpus.device",
			fmt.Sprintf(format, args...)})
	})
	return append(ps, p.checkAllMounts(file, data)...)
}

func (p *Policy) checkHost(add func(key, format string, args ...any)) {
	for key, bad := range map[string]bool{
		"host.home": p.Host.Home == "", "host.min_uid": p.Host.MinUID == 0, "host.hub_api_port": p.Host.HubAPIPort == 0,
		"subids.first": p.SubIDs.First == 0, "subids.count": p.SubIDs.Count < minSubIDs,
	} {
		if bad {
			add(key, "expected %s", expected[key[strings.LastIndexByte(key, '.')+1:]])
		}
	}
	if uint64(p.SubIDs.First)+uint64(p.SubIDs.Count) > maxID {
		add("subids", "first + count is beyond the last id %d", uint64(maxID))
	}
}

// checkAllMounts wants each target once in what one server can have.
func (p *Policy) checkAllMounts(file string, data []byte) (ps Problems) {
	adder := func(section string) func(n int, format string, args ...any) {
		return func(n int, format string, args ...any) {
			ps = append(ps, Problem{file, lineOfSection(data, section, n), section, fmt.Sprintf(format, args...)})
		}
	}
	p.checkMounts("mount", p.Mounts, nil, adder("mount"))
	everyones := map[string]bool{}
	for _, m := range p.Mounts {
		everyones[m.Target] = true
	}
	for _, q := range p.Profiles {
		section := "profile." + q.Name + ".mount"
		p.checkMounts(section, q.Mounts, everyones, adder(section))
	}
	return ps
}

// lineOfSection returns the line of the n-th section of that name, from 0; 0 when there is none
// that can be told, such as one that is written as an array.
func lineOfSection(data []byte, section string, n int) int {
	for i, text := range strings.Split(string(data), "\n") {
		if name := strings.TrimSpace(text); strings.HasPrefix(name, "[[") && strings.Trim(name, "[] \t") == section {
			if n--; n < 0 {
				return i + 1
			}
		}
	}
	return lineOf(data, section)
}

func (p *Policy) checkProfiles(add func(key, format string, args ...any)) {
	switch defaults := slices.IndexFunc(p.Profiles, func(q Profile) bool { return !q.Default }); {
	case len(p.Profiles) == 0:
		add("profile", "there is none; add a section [profile.NAME] with an image")
	case len(p.Profiles) == 1:
		p.Profiles[0].Default = true
	case defaults != 1:
		add("profile", "write default = true in exactly one [profile.NAME]")
	}
	for _, q := range p.Profiles {
		key := "profile." + q.Name
		if !profileName.MatchString(q.Name) {
			add(key, "expected a name of 1 to 40 of a-z, 0-9, - and _")
		}
		if q.Image == "" {
			add(key+".image", "it is missing; expected %s", expected["image"])
		}
		for name := range q.Env {
			if !envName.MatchString(name) || strings.HasPrefix(name, "JUPYTERHUB_") || name == "JPY_API_TOKEN" {
				add(key+".env."+name, "expected the name of a variable that is not the hub's own")
			}
		}
	}
}

// minSubIDs covers the ids of an image's accounts and of the group and user "nobody" of
// most distributions' packages, with the member at 1000.
const minSubIDs = 2000

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// maxID is the last uid that is not one of Linux's two invalid values ((uid_t) -1 in 16 and 32 bits).
const maxID = 1<<32 - 2

// explain turns the decoder's error into problems in our words.
func explain(file string, data []byte, err error) error {
	var strict *toml.StrictMissingError
	var bad *toml.DecodeError
	var value *badValue
	switch {
	case errors.As(err, &strict):
		var ps Problems
		for i := range strict.Errors {
			e := &strict.Errors[i]
			line, _ := e.Position()
			ps = append(ps, Problem{file, line, strings.Join(e.Key(), "."),
				"unknown key or section; launcher.toml(5) names all"})
		}
		return ps
	case errors.As(err, &bad):
		line, _ := bad.Position()
		key := strings.Join(bad.Key(), ".")
		if key == "" {
			key = keyAt(data, line)
		}
		return Problems{{file, line, key, wording(key, bad)}}
	case errors.As(err, &value):
		// The decoder says where only for texts; a bare number stands in the file as it is.
		line := lineOfValue(data, value.found)
		return Problems{{file, line, keyAt(data, line), value.Error()}}
	}
	return Problems{{File: file, Text: err.Error()}}
}

// lineOfValue returns the first line with that value for a key of ours; 0 when there is none.
func lineOfValue(data []byte, value string) int {
	for i, text := range strings.Split(string(data), "\n") {
		key, rest, _ := strings.Cut(text, "=")
		if _, ours := expected[strings.TrimSpace(key)]; ours && strings.HasPrefix(strings.TrimSpace(rest), value) {
			return i + 1
		}
	}
	return 0
}

// lineOf returns the line of a key, or else of the section that it would stand in; 0 when
// the file has neither.
func lineOf(data []byte, key string) int {
	section, line := "", 0
	for i, text := range strings.Split(string(data), "\n") {
		name := strings.TrimSpace(text)
		if strings.HasPrefix(name, "[") {
			section = strings.Trim(name, "[] \t")
			if section == key || strings.HasPrefix(key, section+".") {
				line = i + 1
			}
		} else if k, _, ok := strings.Cut(name, "="); ok && section+"."+strings.TrimSpace(k) == key {
			return i + 1
		}
	}
	return line
}

// keyAt returns the key that stands on a line, for errors that do not name theirs.
func keyAt(data []byte, line int) string {
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	key, _, isValue := strings.Cut(lines[line-1], "=")
	if !isValue {
		return ""
	}
	return strings.TrimSpace(key)
}

func wording(key string, bad *toml.DecodeError) string {
	text := strings.TrimPrefix(bad.Error(), "toml: ")
	want, known := expected[key[strings.LastIndexByte(key, '.')+1:]]
	switch {
	case !known:
		return "cannot read this as TOML: " + text
	case strings.Contains(text, "expected"):
		return text
	case strings.HasPrefix(text, "cannot "):
		return "expected " + want
	default:
		return "expected " + want + "; " + text
	}
}
