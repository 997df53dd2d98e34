package actions

import (
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// maxText bounds what people write for people, in bytes (JupyterHub's columns take as much).
const maxText = 255

// checkText refuses what cannot be shown on one line.
func checkText(field, text string) error {
	switch {
	case len(text) > maxText:
		return invalid(field, TooLong, "", "%s is longer than %d bytes", field, maxText).bounded(maxText)
	case !printable.Valid(text):
		return invalid(field, Unshowable, "", "%s holds a character that cannot be shown", field)
	}
	return nil
}
