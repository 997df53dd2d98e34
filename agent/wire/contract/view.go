package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Mapping says who the member is inside the container; the policy has the same values.
type Mapping string

// The mappings of the member's uid and gid.
const (
	MapImage Mapping = "image" // uid 1000, gid 100: the user of docker-stacks images
	MapHost  Mapping = "host"  // the member's own name, uid and gid
)

// ViewRequestName is where the launcher leaves the ViewRequest of a server below RunDir.
func ViewRequestName(k ident.Key) string { return path.Join("requests", k.Unit()+".json") }

// ViewRequest is what the launcher asks gifford-view for, in a file of root's.
type ViewRequest struct {
	UID     uint32  `json:"uid"` // of the member
	GID     uint32  `json:"gid"`
	Mapping Mapping `json:"mapping"`
	Image   string  `json:"image"` // as the profile names it
	Share   bool    `json:"share"` // false: the policy wants every member to have a copy
	// Persistent is the profile of a persistent container, which goes on with the image that it was made from. "" for a
	// container that ends with its unit.
	Persistent string `json:"persistent,omitempty"`
}

// ReadViewRequest reads a request and refuses one that the launcher does not make: an unknown key, an account that is
// root's or invalid, no image, a mapping that there is not, a profile that would leave its directory.
func ReadViewRequest(data []byte) (ViewRequest, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var either olderViewRequest
	if err := dec.Decode(&either); err != nil {
		return ViewRequest{}, err
	}
	r := either.today()
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return ViewRequest{}, errors.New("something follows the request")
	}
	switch {
	case !account(r.UID):
		return ViewRequest{}, fmt.Errorf("uid %d is no member's", r.UID)
	case !account(r.GID):
		return ViewRequest{}, fmt.Errorf("gid %d is no member's", r.GID)
	case r.Mapping != MapImage && r.Mapping != MapHost:
		return ViewRequest{}, fmt.Errorf("there is no mapping %.40q", r.Mapping)
	case r.Image == "":
		return ViewRequest{}, errors.New("it names no image")
	case strings.ContainsAny(r.Persistent, "/."):
		return ViewRequest{}, fmt.Errorf("%.60q is no profile's name", r.Persistent)
	}
	return r, nil
}

// account reports whether an id is neither root's nor the invalid value.
func account(id uint32) bool { return id != 0 && id != 1<<32-1 }
