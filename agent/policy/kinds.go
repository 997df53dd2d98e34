package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// none is the error for a value that is not what its kind wants, which the message says before it.
func none(s string) error { return fmt.Errorf("%.60q is none", s) }

// wordOf makes a kind of text that may be written as a bare number or truth value, too: env = { OMP_NUM_THREADS = 4 }.
// A number is the word in the file.
func wordOf[T any](name string, parse func(string) (T, error)) settings.Kind[T] {
	return settings.Kind[T]{Name: name, Read: func(v any) (T, error) {
		switch v := v.(type) {
		case string:
			return parse(v)
		case settings.Number:
			return parse(v.Text)
		case bool:
			return parse(strconv.FormatBool(v))
		}
		var zero T
		return zero, settings.ErrType
	}}
}

// valid makes a kind of texts that keep a rule.
func valid(name string, good func(string) bool) settings.Kind[string] {
	return wordOf(name, func(s string) (string, error) {
		if !good(s) {
			return "", none(s)
		}
		return s, nil
	})
}

func control(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func words(name string) settings.Kind[[]string] { return settings.ListOf(name, line("text")) }

func line(name string) settings.Kind[string] { return wordOf(name, settings.Plain) }

func users() settings.Kind[[]ident.User] {
	return settings.ListOf(`a list of user names, such as ["mallory"]`,
		settings.OfText("a user name", ident.ParseUser, nil))
}

func unixGroups() settings.Kind[[]string] {
	return settings.ListOf(`a list of Unix groups, such as ["cgs"]`,
		settings.OfText("the name of a Unix group", ident.ParseGroup, nil))
}

func checkGroup(name string) error {
	if _, err := ident.ParseGroup(name); err != nil {
		return fmt.Errorf("expected the name of a Unix group; %w", err)
	}
	return nil
}

// publicPath is a path without anything that two programs could read in different ways.
var publicPath = regexp.MustCompile(`^[A-Za-z0-9_~@+-][A-Za-z0-9._~@+-]*(/[A-Za-z0-9_~@+-][A-Za-z0-9._~@+-]*)*$`)

func publicPaths() settings.Kind[[]string] {
	return settings.ListOf(`a list of paths such as ["files/public"]`,
		valid(`a path such as "files/public", without a slash at its ends, of letters, digits and . _ ~ @ + - alone`,
			func(s string) bool { return len(s) <= 200 && publicPath.MatchString(s) }))
}

// profileName is what may be part of a URL, a unit's environment and a page.
var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

func checkProfileName(name string) error {
	if !profileName.MatchString(name) {
		return errors.New("expected a name of 1 to 40 of a-z, 0-9, - and _")
	}
	return nil
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// environment is the kind of a container's variables.
func environment() settings.Kind[map[string]string] {
	return settings.Kind[map[string]string]{Name: `a table of texts, such as { LANG = "C.UTF-8" }`,
		Read: readEnvironment}
}

func readEnvironment(v any) (map[string]string, error) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, settings.ErrType
	}
	text := line("text without control characters")
	env := make(map[string]string, len(table))
	for name, v := range table {
		key := settings.QuoteKey(name)
		if !envName.MatchString(name) || strings.HasPrefix(name, "JUPYTERHUB_") || name == "JPY_API_TOKEN" {
			return nil, &settings.Below{Key: key, Err: errors.New("expected the name of a variable that is not the " +
				"hub's own")}
		}
		value, err := text.Read(v)
		if err != nil {
			return nil, &settings.Below{Key: key, Err: errors.New(settings.Expected(text.Name, v, err))}
		}
		env[name] = value
	}
	return env, nil
}

// image is the kind of image references that are neither an option nor a transport ("docker-archive:/path").
func image() settings.Kind[string] {
	return valid(`an image name, such as "quay.io/jupyter/scipy-notebook:latest"`, func(s string) bool {
		const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@"
		return s != "" && strings.Trim(s, allowed) == "" && !strings.ContainsAny(s[:1], "-./:@") &&
			!strings.Contains(s, ":/") && !strings.Contains(s, "//")
	})
}

// globs reports whether path.Match understands a pattern.
func globs(s string) bool {
	_, err := path.Match(s, "")
	return err == nil && !control(s)
}

func imagePatterns() settings.Kind[[]string] {
	return settings.ListOf(`a list of image names, in which * stands for anything but /, such as ["quay.io/jupyter/*"]`,
		valid("a pattern", func(s string) bool { return s != "" && globs(s) }))
}

// cdiPattern is the kind of patterns of what can be "vendor/class=name" or "vendor/class".
func cdiPattern(name string) settings.Kind[string] {
	return valid(name, func(s string) bool {
		return globs(s) && strings.Count(s, "/") == 1 && !strings.ContainsAny(s, ", ")
	})
}

func cdiPatterns() settings.Kind[[]string] {
	return settings.ListOf("a list of qualified CDI names, in which * stands for anything but /, such as "+
		`["nvidia.com/gpu=*"]`, cdiPattern("a pattern"))
}

func modelPattern() settings.Kind[string] {
	return valid(`a pattern of the vendor's name of a device, such as "*H100*"`,
		func(s string) bool { return s != "" && globs(s) })
}

func places() settings.Kind[uint32] {
	return settings.Whole[uint32]("a whole number from 1", 0, 1<<32-1)
}

// maxDevices bounds what one server may ask for.
const maxDevices = 64

func devices() settings.Kind[int] {
	return wordOf(`a whole number up to 64, or "all"`, func(s string) (int, error) {
		if s == "all" {
			return AllGPUs, nil
		}
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n > maxDevices {
			return 0, none(s)
		}
		return int(n), nil
	})
}

// clean reports whether a path is absolute, in its shortest form, and can be part of an argument of podman's --mount,
// which is a line of comma-separated values.
func clean(s string) bool {
	return path.IsAbs(s) && path.Clean(s) == s && s != "/" && !strings.ContainsAny(s, `,"\`) && !control(s)
}

func optionalPath(name string) settings.Kind[string] {
	return valid(name, func(s string) bool { return s == "" || clean(s) })
}

// source takes {user} as the last part only: what lies below a member's directory is the member's to change. The
// launcher's own unit has another /dev than the host.
func source() settings.Kind[string] {
	return valid(`an absolute path without , " or \, not in /dev, in which {user} may be the last part`,
		func(s string) bool {
			return clean(s) && !within(s, "/dev") && !strings.Contains(path.Dir(s), userPart) && wholeParts(s) &&
				s != "/"+userPart
		})
}

func target() settings.Kind[string] {
	return valid(`an absolute path without , " or \ that is not the kernel's, Podman's or the hub's own `+
		"in the container",
		func(s string) bool { return clean(s) && wholeParts(s) && freeTarget(s) && s != "/"+userPart })
}

func notebookDir() settings.Kind[string] {
	return valid("an absolute path or one that begins with {home}/", func(s string) bool {
		below, inHome := strings.CutPrefix(s, "{home}")
		return s == "" || inHome && (below == "" || clean(below)) || clean(s)
	})
}

func homes() settings.Kind[string] {
	return valid(`an absolute path with {user} as its last part, such as "/cluster/{user}"`, func(s string) bool {
		return clean(s) && path.Base(s) == userPart && path.Dir(s) != "/"
	})
}

func urlPath() settings.Kind[string] {
	return valid(`a path such as "/lab"`, func(s string) bool {
		return (s == "" || s[0] == '/') && !control(s)
	})
}

func mode[T ~uint32](name string) settings.Kind[T] {
	return wordOf(name, func(s string) (T, error) {
		n, err := strconv.ParseUint(s, 8, 32)
		if err != nil || n > uint64(fs.ModePerm) {
			return 0, none(s)
		}
		return T(n), nil
	})
}

// duration takes what systemd's time-outs and a person's patience allow.
func duration(example string) settings.Kind[time.Duration] {
	return wordOf(`a time from "1s" to "24h", such as `+example, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < time.Second || d > 24*time.Hour {
			return 0, none(s)
		}
		return d, nil
	})
}

func number() settings.Kind[uint64] {
	return wordOf(`a whole number from 1, or "infinity"`, limit(map[string]uint64{"": 1}))
}

// size is the kind of systemd's sizes: base 1024, whole numbers.
func size(name string) settings.Kind[uint64] {
	return wordOf(name, limit(map[string]uint64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}))
}

// finiteSize is size without "infinity".
func finiteSize(name string) settings.Kind[uint64] {
	kind := size(name)
	read := kind.Read
	kind.Read = func(v any) (uint64, error) {
		n, err := read(v)
		if err == nil && n == Infinity {
			return 0, none("infinity")
		}
		return n, err
	}
	return kind
}

// quota is the kind of microseconds a second: "100%" is one whole processor.
func quota() settings.Kind[uint64] {
	return wordOf(`a percentage of one processor such as "400%", or "infinity"`, limit(map[string]uint64{"%": 10000}))
}

// limit returns a parser for a whole number above zero with one of the units, or "infinity".
func limit(units map[string]uint64) func(string) (uint64, error) {
	return func(s string) (uint64, error) {
		if s == "infinity" {
			return Infinity, nil
		}
		digits := strings.TrimRight(s, "KMGT%")
		factor, ok := units[s[len(digits):]]
		n, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || n == 0 || n >= Infinity/factor {
			return 0, none(s)
		}
		return n * factor, nil
	}
}
