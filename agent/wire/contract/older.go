package contract

// Spellings of version 0.1. An upgrade replaces gifford-container and gifford-view at once, while
// the launcher of before runs on until it is restarted, and a unit that it made may not have come
// to its next command yet. The new programs therefore read both; nothing writes these any more.
// They go with version 0.3.
const (
	olderPersistent = "kept"
	olderRemove     = "forget"
	olderDiskUse    = "usage"
)

// Mode returns the mode that the first argument of Helper stands for: itself, or today's name of an older one.
func Mode(argument string) string {
	switch argument {
	case olderPersistent:
		return ModePersistent
	case olderRemove:
		return ModeRemove
	case olderDiskUse:
		return ModeDiskUse
	}
	return argument
}

// olderViewRequest has the key "keep" besides today's "persistent".
type olderViewRequest struct {
	ViewRequest
	Keep string `json:"keep"`
}

// today returns the request in today's form.
func (o olderViewRequest) today() ViewRequest {
	if o.Persistent == "" {
		o.Persistent = o.Keep
	}
	return o.ViewRequest
}
