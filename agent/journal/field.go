package journal

import "strings"

// maxField is the longest field name that journald takes; it drops longer
// ones (JOURNAL_NATIVE_PROTOCOL of systemd.io, systemd.journal-fields(7)).
const maxField = 64

// fieldName returns the journal's name for a log field, one of the fixed keys
// or the path in upper case joined by "_". The result is always of the form
// [A-Z][A-Z0-9_]*, since the journal drops any other name.
func fieldName(path []string) string {
	if len(path) == 1 {
		if name := fixedName(path[0]); name != "" {
			return name
		}
	}
	name := strings.Map(fieldRune, strings.Join(path, "_"))
	name = strings.TrimLeft(name, "_")
	if name == "" || name[0] <= '9' || reserved(name) {
		name = "FIELD_" + name
	}
	return name[:min(len(name), maxField)]
}

// fixedName maps the keys that the whole hub uses. The prefix keeps USER and
// UNIT out of the names that systemd itself uses.
func fixedName(key string) string {
	switch key {
	case "user":
		return "JUPYTER_USER"
	case "server":
		return "JUPYTER_SERVER"
	case "unit":
		return "JUPYTER_UNIT"
	case "event":
		return "EVENT"
	case "request":
		return "REQUEST_ID"
	case "error":
		return "ERROR"
	}
	return ""
}

func fieldRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z':
		return r - 'a' + 'A'
	case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return r
	}
	return '_'
}

// reserved reports names that the logger itself fills in, or that have a meaning for journalctl or journald
// (systemd.journal-fields(7)): a field from outside must not pass for one of them.
func reserved(name string) bool {
	switch name {
	case "MESSAGE", "PRIORITY", "ERRNO", "TID", "DOCUMENTATION", "UNIT", "USER_UNIT":
		return true
	}
	for _, prefix := range []string{"CODE_", "SYSLOG_", "OBJECT_", "COREDUMP_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
