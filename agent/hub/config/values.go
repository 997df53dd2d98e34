package config

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits beyond its mask; write %q", s, p.Masked())
	}
	return p, nil
}

// hostName is a name of DNS in ASCII, as browsers send it.
var hostName = regexp.MustCompile(`^(?i:[a-z0-9]([a-z0-9_-]*[a-z0-9])?\.)*(?i:[a-z0-9]([a-z0-9_-]*[a-z0-9])?)$`)

// parseHost accepts the name or address of a host, without a port.
func parseHost(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return a.String(), nil
	}
	if !hostName.MatchString(s) {
		return "", fmt.Errorf("%q is neither: write it without a scheme and a port, and letters beyond ASCII as "+
			"xn--…", s)
	}
	return strings.ToLower(s), nil
}

// parseBasePath accepts segments of RFC 3986's unreserved characters and returns a path with a slash at both ends.
func parseBasePath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") {
		return "", fmt.Errorf("%q does not begin with a slash", s)
	}
	for segment := range strings.SplitSeq(strings.Trim(s, "/"), "/") {
		bad := strings.Trim(segment, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != ""
		if bad || segment == "." || segment == ".." || segment == "" && strings.Trim(s, "/") != "" {
			return "", fmt.Errorf("%q holds the segment %q", s, segment)
		}
	}
	if strings.Trim(s, "/") == "" {
		return "/", nil
	}
	return "/" + strings.Trim(s, "/") + "/", nil
}

func parseURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is not a URL", s)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return "", fmt.Errorf("%q lacks https:// or a host", s)
	case u.Fragment != "" || u.User != nil:
		return "", fmt.Errorf("%q must not hold a fragment or a password", u.Redacted())
	}
	return settings.Plain(s)
}

func parsePath(s string) (string, error) {
	if !filepath.IsAbs(s) {
		return "", fmt.Errorf("%q does not begin with a slash", s)
	}
	return settings.Plain(filepath.Clean(s))
}

func parsePattern(s string) (string, error) {
	re, err := regexp.Compile(s)
	if err != nil {
		return "", err
	}
	if re.NumSubexp() < 1 {
		return "", fmt.Errorf("%q has no group: put the name into parentheses", s)
	}
	return s, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := parseDurationOrZero(s)
	if err == nil && d == 0 {
		return 0, fmt.Errorf("%q is not above zero", s)
	}
	return d, err
}

func parseDurationOrZero(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time", s)
	}
	return d, nil
}

// showDuration leaves out the zero parts that time.Duration writes: "24h", not "24h0m0s".
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return quote(s)
}

func parseLevel(s string) (slog.Level, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError}
	l, ok := levels[s]
	if !ok {
		return 0, fmt.Errorf("%q is none of these", s)
	}
	return l, nil
}

func readOptionalBool(v any) (*bool, error) {
	b, err := boolean.Read(v)
	return &b, err
}

func showOptionalBool(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}

// maxPercent is more than the processor time of any host's cores.
const maxPercent = 1_000_000

func readUserMap(v any) (map[string]ident.User, error) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, settings.ErrType
	}
	names := make(map[string]ident.User, len(table))
	for from, to := range table {
		u, err := user.Read(to)
		if err != nil {
			return nil, fmt.Errorf("name %q: %w", from, err)
		}
		names[from] = u
	}
	return names, nil
}

func showUserMap(names map[string]ident.User) string {
	var shown []string
	for _, from := range slices.Sorted(maps.Keys(names)) {
		shown = append(shown, settings.QuoteKey(from)+" = "+quote(names[from].String()))
	}
	if shown == nil {
		return "{}"
	}
	return "{ " + strings.Join(shown, ", ") + " }"
}

// readCount accepts a number, false for none and true for any.
func readCount(v any) (int, error) {
	switch n := v.(type) {
	case bool:
		if n {
			return -1, nil
		}
		return 0, nil
	case int64:
		if n < 0 || n > 1000 {
			return 0, fmt.Errorf("%d is out of range", n)
		}
		return int(n), nil
	}
	return 0, settings.ErrType
}

func showCount(n int) string {
	switch {
	case n < 0:
		return "true"
	case n == 0:
		return "false"
	}
	return strconv.Itoa(n)
}
