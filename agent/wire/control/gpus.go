package control

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// GPUs is what the host has, and who holds it. Its texts are safe for a terminal.
type GPUs struct {
	Devices   []GPU        `json:"devices"`
	Broken    []BrokenSpec `json:"broken"`               // CDI specifications that cannot be used
	Measured  time.Time    `json:"measured,omitzero"`    // when each Now was measured
	ToolError string       `json:"tool_error,omitempty"` // why the vendor's tool reports nothing
}

// GPU is a device that servers can hold.
type GPU struct {
	Name      string       `json:"name"` // qualified CDI name
	Model     string       `json:"model,omitempty"`
	Memory    uint64       `json:"memory,omitempty"` // bytes; 0 where that is not known
	Health    string       `json:"health,omitempty"` // what is wrong with it; it is then not lent
	Sharing   string       `json:"sharing"`          // "exclusive", "shared" or "open"
	Places    uint32       `json:"places,omitempty"` // how many servers may hold it; 0 for any number
	Lent      string       `json:"lent"`             // that in words
	Profiles  []string     `json:"profiles"`         // that can get it
	Holders   []GPUHolder  `json:"holders"`
	Now       *GPULoad     `json:"now,omitempty"`     // nil where that is not known
	Hour      *GPULoad     `json:"hour,omitempty"`    // the average of the last hour
	Busiest   *GPULoad     `json:"busiest,omitempty"` // the highest of the last hour
	Strangers []GPUProcess `json:"strangers"`         // processes on it outside the servers that hold it
}

// GPUHolder is a server that holds a device.
type GPUHolder struct {
	User    ident.User   `json:"user"`
	Server  ident.Server `json:"server"`
	Profile string       `json:"profile"`
	Since   time.Time    `json:"since"`
}

// GPULoad is how much of a device is in use.
type GPULoad struct {
	Busy   float64 `json:"busy"`   // share of time in which it computed, 0 to 1
	Memory uint64  `json:"memory"` // bytes
}

// GPUProcess is a process that has a device open.
type GPUProcess struct {
	PID     uint32 `json:"pid"`
	UID     uint32 `json:"uid"`
	User    string `json:"user"` // the name of UID
	Command string `json:"command"`
	Unit    string `json:"unit,omitempty"`
	Memory  uint64 `json:"memory,omitempty"` // bytes on the device; 0 where that is not known
}

// BrokenSpec is a CDI specification that cannot be used, or a directory of them.
type BrokenSpec struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// GPUs reports what the host has.
func (c *Client) GPUs(ctx context.Context) (GPUs, error) {
	var g GPUs
	return g, c.http.Get(ctx, GPUsPath, &g)
}
