package gate

import (
	"net/url"
	"strings"
)

// isPublic reports whether a path below a server's prefix, as it came, lies at or below one of the public paths. A path
// that the server could read in another way than this does is not public: with escaped slashes or dots, with segments
// that lead up or are empty, with what a second decoding would change.
func isPublic(public []string, escaped string) bool {
	if len(public) == 0 || strings.Contains(strings.ToLower(escaped), "%2f") {
		return false
	}
	path, err := url.PathUnescape(escaped)
	if err != nil || !unambiguous(path) {
		return false
	}
	for _, p := range public {
		if rest, ok := strings.CutPrefix(path, strings.Trim(p, "/")); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// unambiguous reports whether every program reads a path as the same.
func unambiguous(path string) bool {
	if strings.ContainsAny(path, `\%;`) || strings.Contains(path, "//") {
		return false
	}
	for i := range len(path) {
		if path[i] < ' ' || path[i] == 0x7f {
			return false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if strings.Trim(segment, ". ") == "" && segment != "" {
			return false
		}
	}
	return true
}
