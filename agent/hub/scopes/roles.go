package scopes

import (
	"fmt"
	"strings"
)

// Role is a named list of scopes that users, groups and services can be given.
type Role struct {
	Name        string
	Description string
	Scopes      []string
}

// The names of the default roles.
const (
	UserRole   = "user"
	AdminRole  = "admin"
	ServerRole = "server"
	TokenRole  = "token"
)

// DefaultRoles returns the roles that exist without any settings: that of every user, that of
// administrators, that of a server's own token, and that of a token that was made without a list
// of scopes (jupyterhub/roles.py: get_default_roles).
func DefaultRoles() []Role {
	return []Role{
		{UserRole, "What every user may do", []string{Self}},
		{AdminRole, "What administrators may do: everything", []string{
			AdminUI, AdminUsers, AdminServers, AdminServices, Tokens, AdminGroups, ListServices, ReadServices,
			ReadHub, Proxy, Shutdown, AccessServices, AccessServers, ReadRoles, ReadMetrics, Shares,
		}},
		{ServerRole, "What a server itself may do: report activity and call itself",
			[]string{UsersActivity + "!user", AccessServers + "!server"}},
		{TokenRole, "All that the token's owner may do", []string{Inherit}},
	}
}

// Lengths of a role's name.
const minRoleName, maxRoleName = 3, 255

// ParseRoleName accepts ^[a-z][a-z0-9\-_~\.]{1,253}[a-z0-9]$ (jupyterhub/roles.py:
// _validate_role_name).
func ParseRoleName(s string) (string, error) {
	ok := len(s) >= minRoleName && len(s) <= maxRoleName && s[0] >= 'a' && s[0] <= 'z' && isLowerAlnum(s[len(s)-1])
	for i := range len(s) {
		c := s[i]
		ok = ok && (isLowerAlnum(c) || c == '-' || c == '_' || c == '~' || c == '.')
	}
	if !ok {
		return "", fmt.Errorf("cannot use role name %.80q: use %d to %d of a-z, 0-9 and -_~., with a letter first "+
			"and a letter or digit last", s, minRoleName, maxRoleName)
	}
	return s, nil
}

// CheckRole checks a role of the settings. The default roles "user", "server" and
// "token" may be given other scopes, "admin" may not. The error names every scope that is not
// valid.
func (t *Table) CheckRole(r Role) error {
	if _, err := ParseRoleName(r.Name); err != nil {
		return err
	}
	if r.Name == AdminRole {
		return fmt.Errorf("cannot define role %q: it is always everything (give another name to a role of fewer "+
			"scopes)", r.Name)
	}
	var wrong []string
	for _, text := range r.Scopes {
		if _, err := t.Parse(text); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("cannot define role %q: %s", r.Name, strings.Join(wrong, "; "))
	}
	return nil
}
