package gate

import (
	"net/http"
	"strings"
)

// valuesOf returns the values of all cookies of two names in a request. A page of a server can set cookies beside the
// hub's, also of the same name with another path; how many there are and in which order shows nothing of who set them.
func valuesOf(h http.Header, first, second string) (ofFirst, ofSecond []string) {
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, ok := strings.Cut(pair, "=")
			if !ok {
				continue
			}
			switch strings.TrimSpace(name) {
			case first:
				ofFirst = append(ofFirst, strings.TrimSpace(value))
			case second:
				ofSecond = append(ofSecond, strings.TrimSpace(value))
			}
		}
	}
	return ofFirst, ofSecond
}
