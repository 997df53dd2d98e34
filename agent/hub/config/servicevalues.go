package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Kinds of the sections that have names.
var (
	scopeList    = settings.ListOf(`a list of scopes, such as ["list:users", "read:servers!group=lab"]`, text)
	serviceNames = settings.ListOf(`a list of services, such as ["idle-culler"]`,
		settings.OfText("a service", parseServiceName, quote))
	serviceURL  = settings.OfText(`"http://HOST:PORT", "https://HOST:PORT" or "unix:/PATH"`, parseServiceURL, quote)
	redirectURI = settings.OfText(`a path such as "/services/x/oauth_callback", or an absolute URL`, parseRedirectURI,
		quote)
	clientID  = settings.OfText(`text that begins with "service-"`, parseClientID, quote)
	unitName  = settings.OfText(`a unit, such as "x.service"`, parseUnit, quote)
	freeTable = settings.Kind[map[string]any]{Name: `a table of texts, numbers, true and false, ` +
		`such as { a = "b", n = 1 }`,
		Read: readFreeTable, Show: showFreeTable}
)

func parseServiceName(s string) (string, error) { return s, checkServiceName(s) }

// parseServiceURL accepts addresses to which agent/hub/proxy can pass requests. The path is always the one below
// services/, so the URL has none.
func parseServiceURL(s string) (string, error) {
	if file, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(file) || filepath.Clean(file) != file || len(file) > maxSocket {
			return "", fmt.Errorf("%q is not an absolute, clean path of up to %d bytes", file, maxSocket)
		}
		return settings.Plain(s)
	}
	s = strings.TrimSuffix(s, "/")
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || s != u.Scheme+"://"+u.Host {
		return "", fmt.Errorf("%q is none of these", s)
	}
	if port, err := strconv.Atoi(cmp.Or(u.Port(), "80")); err != nil || port < 1 || port > 65535 {
		return "", fmt.Errorf("%q has no valid port", s)
	}
	return settings.Plain(s)
}

// maxSocket is the longest path of a UNIX socket (unix(7): 108 bytes with the end).
const maxSocket = 107

func parseRedirectURI(s string) (string, error) {
	if !strings.HasPrefix(s, "/") {
		return parseURL(s)
	}
	u, err := url.Parse(s)
	if err != nil || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || filepath.Clean(u.Path) != u.Path {
		return "", fmt.Errorf("%q is not a clean path", s)
	}
	return settings.Plain(s)
}

// clientForm keeps a client's id fit for a cookie's name, which HubOAuth makes from it.
var clientForm = regexp.MustCompile(`^service-[A-Za-z0-9._\-]{1,200}$`)

func parseClientID(s string) (string, error) {
	if !clientForm.MatchString(s) {
		return "", fmt.Errorf(`%q does not, or holds more than letters, digits and "._-"`, s)
	}
	return s, nil
}

// unitForm is the form of a service unit's name in systemd.unit(5).
var unitForm = regexp.MustCompile(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@\-]*\.service$`)

func parseUnit(s string) (string, error) {
	if !unitForm.MatchString(s) {
		return "", fmt.Errorf("%q is not a unit's name", s)
	}
	return s, nil
}

func readFreeTable(v any) (map[string]any, error) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, settings.ErrType
	}
	for key, v := range table {
		switch v.(type) {
		case string, bool, int64, float64:
		default:
			return nil, fmt.Errorf("%s is %s", settings.QuoteKey(key), settings.TypeName(v))
		}
		if key == "" {
			return nil, errors.New("a key is empty")
		}
	}
	return table, nil
}

func showFreeTable(table map[string]any) string {
	var shown []string
	for _, key := range slices.Sorted(maps.Keys(table)) {
		value := fmt.Sprint(table[key])
		if s, ok := table[key].(string); ok {
			value = quote(s)
		}
		shown = append(shown, settings.QuoteKey(key)+" = "+value)
	}
	if shown == nil {
		return "{}"
	}
	return "{ " + strings.Join(shown, ", ") + " }"
}
