package control

import (
	"context"
	"net/url"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Usage is what a user used in a calendar month (UTC).
type Usage struct {
	User   string  `json:"user"`
	Month  string  `json:"month"` // "2026-11"
	GPU    float64 `json:"gpu_hours"`
	CPU    float64 `json:"cpu_hours"`
	Memory float64 `json:"memory_gib_hours"`
	Server float64 `json:"server_hours"`
}

// Usage returns what was used in a month, or in all of them for "", by one user or, for the
// zero one, by everybody.
func (c *Client) Usage(ctx context.Context, month string, user ident.User) ([]Usage, error) {
	q := url.Values{}
	if month != "" {
		q.Set("month", month)
	}
	if !user.IsZero() {
		q.Set("user", user.String())
	}
	var all []Usage
	return all, c.http.Get(ctx, UsagePath+"?"+q.Encode(), &all)
}
