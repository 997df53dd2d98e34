package actions

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds what people write for people, in bytes (JupyterHub's columns take as much).
const maxText = 255

// checkText refuses what cannot be shown on one line.
func checkText(field, text string) error {
	switch {
	case len(text) > maxText:
		return invalid(field, TooLong, "", "%s is longer than %d bytes", field, maxText).bounded(maxText)
	case !utf8.ValidString(text), strings.ContainsFunc(text, unshowable):
		return invalid(field, Unshowable, "", "%s holds a character that cannot be shown", field)
	}
	return nil
}

// unshowable reports control characters, and those that turn the direction of what stands around them.
func unshowable(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }
