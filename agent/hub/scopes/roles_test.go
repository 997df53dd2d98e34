package scopes

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRoleName(t *testing.T) {
	tests := map[string]struct {
		in string
		ok bool
	}{
		"plain":        {"teacher", true},
		"shortest":     {"abc", true},
		"longest":      {strings.Repeat("a", 255), true},
		"all signs":    {"a-_~.9", true},
		"a to z":       {"aaz", true},
		"z to a":       {"zaa", true},
		"0 last":       {"aa0", true},
		"sign first":   {"~ab", false},
		"after z":      {"{ab", false},
		"before a":     {"`ab", false},
		"empty":        {"", false},
		"too short":    {"ab", false},
		"too long":     {strings.Repeat("a", 256), false},
		"digit first":  {"1st", false},
		"hyphen last":  {"ab-", false},
		"capital":      {"Teacher", false},
		"space":        {"a b", false},
		"newline last": {"abc\n", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseRoleName(tt.in)
			if (err == nil) != tt.ok || tt.ok && got != tt.in {
				t.Errorf("ParseRoleName(%q) = %q, %v; want ok %v", tt.in, got, err, tt.ok)
			}
		})
	}
}

func TestCheckRole(t *testing.T) {
	tests := map[string]struct {
		role  Role
		wrong []string
	}{
		"good": {Role{"teacher", "", []string{"access:servers!group=cgs", "custom:grades:*", "self",
			"shares!user"}}, nil},
		"no scopes": {Role{"nothing", "", nil}, nil},
		"user":      {Role{UserRole, "", []string{"self", "shares!user"}}, nil},
		"server":    {Role{ServerRole, "", []string{"inherit"}}, nil},
		"token":     {Role{TokenRole, "", []string{"access:servers!user"}}, nil},
		"admin":     {Role{AdminRole, "", []string{"self"}}, []string{`"admin"`, "always everything"}},
		"name":      {Role{"x", "", nil}, []string{"cannot use role name"}},
		"only by service": {Role{"teacher", "", []string{"access:services!user"}},
			[]string{"only be filtered by service"}},
		"a former name": {Role{"teacher", "", []string{"all"}}, []string{`it is called "inherit" now`}},
		"unknown scopes": {Role{"teacher", "", []string{"fly", "self", "swim!user"}},
			[]string{`"teacher"`, `"fly"`, `"swim!user"`}},
		"useless filter": {Role{"teacher", "", []string{"groups:shares!user=alice"}},
			[]string{"only be filtered by group"}},
		"filtered admin": {Role{"teacher", "", []string{"admin-ui!group=cgs"}}, []string{"takes no filter"}},
		"server on users": {Role{"teacher", "", []string{"read:users!server"}},
			[]string{"only be filtered by user, group"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := table(t).CheckRole(tt.role)
			if (err == nil) != (tt.wrong == nil) {
				t.Fatalf("CheckRole: %v; want %q", err, tt.wrong)
			}
			for _, part := range tt.wrong {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("CheckRole: %v; want %q in it", err, part)
				}
			}
			if former := strings.Contains(fmt.Sprint(err), "is called"); former != (name == "a former name") {
				t.Errorf("CheckRole: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), `"self"`) {
				t.Errorf("CheckRole blames a good scope: %v", err)
			}
		})
	}
}
