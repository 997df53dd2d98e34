package accounting

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// gib is the unit of memory in texts for people.
const gib = 1 << 30

// Hours is what a user used in a month, for people.
type Hours struct {
	User   string  `json:"user"`
	Month  string  `json:"month"`
	GPU    float64 `json:"gpu_hours"`
	CPU    float64 `json:"cpu_hours"`
	Memory float64 `json:"memory_gib_hours"`
	Server float64 `json:"server_hours"`
}

// InHours converts the rows of the database to hours.
func InHours(all []store.Spent) []Hours {
	hours := make([]Hours, 0, len(all))
	for _, v := range all {
		hours = append(hours, Hours{v.User.String(), v.Month, v.GPU / 3600, v.CPU / 3600, v.Memory / gib / 3600,
			v.Server / 3600})
	}
	return hours
}

// Total returns the sum. It has no user and no month.
func Total(all []Hours) (sum Hours) {
	for _, h := range all {
		sum.GPU, sum.CPU, sum.Memory, sum.Server = sum.GPU+h.GPU, sum.CPU+h.CPU, sum.Memory+h.Memory,
			sum.Server+h.Server
	}
	return sum
}

// WriteCSV writes a header and a line for each user and month (RFC 4180, with "\n").
func WriteCSV(w io.Writer, all []Hours) error {
	out := csv.NewWriter(w)
	// out.Error returns the first error of all writes
	_ = out.Write([]string{"month", "user", "gpu_hours", "cpu_hours", "memory_gib_hours", "server_hours"})
	for _, h := range all {
		_ = out.Write([]string{cell(h.Month), cell(h.User), number(h.GPU), number(h.CPU), number(h.Memory),
			number(h.Server)})
	}
	out.Flush()
	return out.Error()
}

func number(hours float64) string { return strconv.FormatFloat(hours, 'f', 3, 64) }

// cell makes a text that no spreadsheet treats as a formula (OWASP, CSV Injection).
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
