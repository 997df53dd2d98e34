// Package imagekeeper is the interface between the image keeper, which owns the host's
// one copy of every image, and those who ask it: HTTP over a UNIX socket that root and
// the hub may open. It holds the types that cross it and the client. It must never import
// the image keeper itself, Podman's bindings or the launcher.
package imagekeeper

import "time"

// DefaultSocket is where gifford-images.socket listens.
const DefaultSocket = "/run/gifford-images/control.sock"

// The routes. Requests and answers are JSON. A refused or failed request answers with a
// status of 400 or above and a Failure; one that has begun to stream ends with a Progress
// that has Failed set. The hub may use those marked so; root may use all.
const (
	ImagesPath   = "/images"   // GET: []Image (hub)
	ImagePath    = "/image"    // GET ?name=NAME: Detail (hub)
	DiskPath     = "/disk"     // GET: Disk (hub)
	EnsurePath   = "/ensure"   // POST EnsureRequest: a stream of Progress, one JSON value a line (hub)
	PullPath     = "/pull"     // POST PullRequest: a stream of Progress (hub)
	ImportPath   = "/import"   // POST ?name=NAME, the archive as body: a stream of Progress
	RemovePath   = "/remove"   // POST RemoveRequest: 204
	PrunePath    = "/prune"    // POST PruneRequest: Pruned
	RollbackPath = "/rollback" // POST RollbackRequest: Image
)

// Image is one image of the store.
type Image struct {
	ID string `json:"id"` // 64 hexadecimal digits
	// such as "quay.io/jupyter/scipy-notebook:latest"; empty for a former one
	Names []string `json:"names"`
	// of the manifest, as the registry names it; "" when it did not come from one
	Digest string `json:"digest,omitempty"`
	// bytes of its layers, unpacked; layers that images share count in each
	Size     int64     `json:"size"`
	Created  time.Time `json:"created"`         // when it was built
	Pulled   time.Time `json:"pulled,omitzero"` // when the store got it
	Profiles []string  `json:"profiles"`        // the policy's profiles that start with it
	FormerOf []string  `json:"former_of"`       // names that it had until a newer one came
	// units and persistent containers that need it, such as "jupyter-alice.service"
	InUse []string `json:"in_use"`
	Held  bool     `json:"held"` // a rollback went to it: the timer leaves its names alone
}

// Former is an image that had a name before.
type Former struct {
	ID     string    `json:"id"`
	Digest string    `json:"digest,omitempty"`
	Pulled time.Time `json:"pulled,omitzero"`
}

// Detail is an image with all that is known of it.
type Detail struct {
	Image
	Layers  []Layer             `json:"layers"`
	Former  map[string][]Former `json:"former"` // by name, the newest first
	User    string              `json:"user,omitempty"`
	Command []string            `json:"command,omitempty"` // entry point and command
	Labels  map[string]string   `json:"labels,omitempty"`
}

// Layer is one layer of an image, the lowest first.
type Layer struct {
	Digest string `json:"digest"` // of the unpacked layer
	Size   int64  `json:"size"`   // bytes, unpacked
}

// EnsureRequest asks that the image of a profile be in the store: it is there, or comes
// from the profile's archive or registry as the policy says.
type EnsureRequest struct {
	Profile string `json:"profile"` // "" is the policy's default one
}

// PullRequest asks the registry for an image again. The pull ends when the connections of all who asked for it have
// closed.
type PullRequest struct {
	Name string `json:"name"` // one that the policy allows; "" for all that its profiles pull and that are not held
	// Detached lets the pull go on when the connection closes.
	Detached bool `json:"detached,omitempty"`
}

// RemoveRequest takes a name, or an image with all its names, out of the store. One that
// is in use is refused.
type RemoveRequest struct {
	Name string `json:"name"` // a name or the beginning of an ID, 12 digits at least
}

// PruneRequest removes what no name, no server and no retained former name needs.
type PruneRequest struct {
	KeepFormer *int `json:"keep_former,omitempty"` // former images to retain for each name; nil: as the policy says
	DryRun     bool `json:"dry_run,omitempty"`     // report only
}

// Pruned is what was removed, or would be.
type Pruned struct {
	Images []Image `json:"images"`
	Freed  int64   `json:"freed"` // bytes
}

// RollbackRequest points a name at an image that it had before.
type RollbackRequest struct {
	Name string `json:"name"`
	To   string `json:"to,omitempty"` // digest or beginning of an ID; "" is the newest former one
}

// Progress is one step of a pull or import. The last one has Done or Failed set.
type Progress struct {
	Image   string `json:"image"`           // the name
	Layer   string `json:"layer,omitempty"` // beginning of the layer's digest; "" for a step of the whole
	Message string `json:"message"`
	Current int64  `json:"current,omitempty"` // bytes of the layer so far
	Total   int64  `json:"total,omitempty"`   // bytes of the layer; 0 if not known
	ID      string `json:"id,omitempty"`      // of the image, at the end
	Done    bool   `json:"done,omitempty"`
	Failed  bool   `json:"failed,omitempty"`
	Hint    string `json:"hint,omitempty"` // what to do next when Failed
}

// Disk is what the store takes and what is left.
type Disk struct {
	Path  string `json:"path"`
	Store int64  `json:"store"` // bytes of all layers
	Free  int64  `json:"free"`  // bytes that are left for the keeper on that file system
	Total int64  `json:"total"` // bytes of that file system
	Low   bool   `json:"low"`   // fewer are free than the policy wants
}
