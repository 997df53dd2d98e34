package ident

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxGroup bounds a group's name in bytes; directories allow more than groupadd(8) does.
const maxGroup = 256

// ParseGroup returns s if it can be the name of a Unix group that getent(1) is asked for. Blanks within the name,
// backslashes and letters beyond ASCII are allowed, since Active Directory has groups such as "domain users". It
// refuses what getent would take for an option or a gid, the separators of group(5), slashes, control characters and
// blanks at either end. It does not look the group up.
func ParseGroup(s string) (string, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("cannot use an empty group name")
	case len(s) > maxGroup:
		return "", fmt.Errorf("cannot use group name %.40q: longer than %d bytes", s, maxGroup)
	case s[0] == '-':
		return "", fmt.Errorf("cannot use group name %q: it begins with a hyphen", s)
	case strings.Trim(strings.TrimPrefix(s, "+"), "0123456789") == "":
		// getent(1) reads its key with strtoul(3), which takes a sign.
		return "", fmt.Errorf("cannot use group name %q: it is a number", s)
	case strings.TrimSpace(s) != s:
		return "", fmt.Errorf("cannot use group name %q: it begins or ends with a blank", s)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unprintable) || strings.ContainsAny(s, ":,/"):
		return "", fmt.Errorf("cannot use group name %q: a colon, comma, slash or control character is not allowed", s)
	}
	return s, nil
}

// unprintable covers control characters and invisible ones such as those that turn the direction of text.
func unprintable(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
