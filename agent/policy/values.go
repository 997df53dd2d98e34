package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is an amount of memory as systemd writes it: a number with an optional suffix K,
// M, G or T (powers of 1024), or "infinity". Zero means not set.
type Bytes uint64

// Infinity is systemd's word for no limit.
const Infinity = math.MaxUint64

// UnmarshalText parses the TOML string.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "infinity" {
		*b = Infinity
		return nil
	}
	number, shift := s, 0
	if i := strings.IndexByte("KMGT", lastByte(s)); i >= 0 {
		number, shift = s[:len(s)-1], 10*(i+1)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is no amount of memory such as \"16G\" or \"infinity\"", s)
	}
	*b = Bytes(n << shift)
	return nil
}

// lastByte gives the last byte of s, a byte that is no suffix when there is none.
func lastByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

// Percent is a share of one CPU's time, such as "400%" for four CPUs. Zero means not set.
type Percent uint64

// UnmarshalText parses the TOML string.
func (p *Percent) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || n == 0 {
		return fmt.Errorf("%q is no share of CPU time such as \"400%%\"", text)
	}
	*p = Percent(n)
	return nil
}

// Duration is a time.Duration written as "90s" or "10m".
type Duration time.Duration

// UnmarshalText parses the TOML string.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is no duration such as \"90s\" or \"10m\"", text)
	}
	*d = Duration(v)
	return nil
}
