package imagekeeper

// LayerOver reports whether a step is the last of its layer: all of it has come, or it is
// there already, in the words of Podman's pull (its Docker-compatible API, images/create).
func (p Progress) LayerOver() bool {
	switch p.Message {
	case "Download complete", "Pull complete", "Already exists":
		return p.Layer != ""
	}
	return p.Layer != "" && p.Total > 0 && p.Current >= p.Total
}
