package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kinds of the sections that have names.
var (
	scope        = ofText("a scope", parseScope, quote)
	scopes       = listOf(`a list of scopes, such as ["list:users", "read:servers!group=lab"]`, scope)
	customScopes = listOf(`a list of custom scopes, such as ["custom:x"]`, ofText("a custom scope", named(checkCustomScope), quote))
	serviceNames = listOf(`a list of services, such as ["idle-culler"]`, ofText("a service", named(checkServiceName), quote))
	groupNames   = listOf(`a list of groups, such as ["lab-members"]`, ofText("a group", named(checkGroupName), quote))
	serviceURL   = ofText(`"http://127.0.0.1:PORT" or "unix:/PATH"`, parseServiceURL, quote)
	redirectURI  = ofText(`a path such as "/services/x/oauth_callback", or an absolute URL`, parseRedirectURI, quote)
	clientID     = ofText(`text that begins with "service-"`, parseClientID, quote)
	unitName     = ofText(`a unit, such as "x.service"`, parseUnit, quote)
	freeTable    = kind[map[string]any]{`a table of texts, numbers, true and false, such as { a = "b", n = 1 }`, readFreeTable, showFreeTable}
)

// named makes a parser of a check.
func named(check func(string) error) func(string) (string, error) {
	return func(s string) (string, error) {
		if err := check(s); err != nil {
			return "", fmt.Errorf("%q %w", s, err)
		}
		return s, nil
	}
}

// scopeForm is what every scope of JupyterHub looks like (docs/source/rbac/scopes.md);
// which of them there are is the matter of agent/scopes.
var scopeForm = regexp.MustCompile(`^[a-z][a-z0-9_:*\-]*(!(user|server|group|service)(=[^=!\s]+)?)?$`)

func parseScope(s string) (string, error) {
	if !scopeForm.MatchString(s) {
		return "", fmt.Errorf("%q is no scope", s)
	}
	return s, nil
}

// parseServiceURL takes addresses of this host alone, so that nothing that people send
// leaves it in the clear.
func parseServiceURL(s string) (string, error) {
	if file, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(file) || filepath.Clean(file) != file || len(file) > maxSocket {
			return "", fmt.Errorf("%q is no absolute, clean path of up to %d bytes", file, maxSocket)
		}
		return plain(s)
	}
	rest, ok := strings.CutPrefix(s, "http://")
	if !ok {
		return "", fmt.Errorf("%q begins with neither", s)
	}
	addr, err := netip.ParseAddrPort(strings.TrimSuffix(rest, "/"))
	if err != nil || !addr.Addr().IsLoopback() || addr.Port() == 0 {
		return "", fmt.Errorf("%q is no port of a loopback address, or holds a path; the path is always that below /services/", s)
	}
	return "http://" + addr.String(), nil
}

// maxSocket is the longest path of a UNIX socket (unix(7): 108 bytes with the end).
const maxSocket = 107

func parseRedirectURI(s string) (string, error) {
	if !strings.HasPrefix(s, "/") {
		return parseURL(s)
	}
	u, err := url.Parse(s)
	if err != nil || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || filepath.Clean(u.Path) != u.Path {
		return "", fmt.Errorf("%q is no clean path", s)
	}
	return plain(s)
}

// clientForm keeps a client's id fit for a cookie's name, which HubOAuth makes of it.
var clientForm = regexp.MustCompile(`^service-[A-Za-z0-9._\-]{1,200}$`)

func parseClientID(s string) (string, error) {
	if !clientForm.MatchString(s) {
		return "", fmt.Errorf(`%q does not, or holds more than letters, digits and "._-"`, s)
	}
	return s, nil
}

// unitForm is systemd.unit(5)'s, for services.
var unitForm = regexp.MustCompile(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@\-]*\.service$`)

func parseUnit(s string) (string, error) {
	if !unitForm.MatchString(s) {
		return "", fmt.Errorf("%q is none", s)
	}
	return s, nil
}

func readNamed(v any) (NamedServers, error) {
	switch n := v.(type) {
	case bool:
		if n {
			return Unlimited, nil
		}
		return 0, nil
	case int64:
		if n < 1 || n > 10000 {
			return 0, fmt.Errorf("%d is not from 1 to 10000", n)
		}
		return NamedServers(n), nil
	}
	return 0, errType
}

func showNamed(n NamedServers) string {
	if n > 0 {
		return strconv.Itoa(int(n))
	}
	return strconv.FormatBool(n.Allowed())
}

func readFreeTable(v any) (map[string]any, error) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, errType
	}
	for key, v := range table {
		switch v.(type) {
		case string, bool, int64, float64:
		default:
			return nil, fmt.Errorf("%s is %s", quoteKey(key), typeName(v))
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
		shown = append(shown, quoteKey(key)+" = "+value)
	}
	if shown == nil {
		return "{}"
	}
	return "{ " + strings.Join(shown, ", ") + " }"
}
