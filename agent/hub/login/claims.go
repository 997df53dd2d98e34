package login

import (
	"regexp"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// claims is the payload of an id_token, with the claims that userinfo added.
type claims map[string]any

// merge adds the claims that c lacks.
func (c claims) merge(more claims) {
	for k, v := range more {
		if _, have := c[k]; !have {
			c[k] = v
		}
	}
}

// text returns a claim that is a string, "" for anything else.
func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// emailVerified also accepts the string "true", which some providers send instead of the boolean of
// OpenID Connect Core 5.1.
func (c claims) emailVerified() bool {
	switch v := c["email_verified"].(type) {
	case bool:
		return v
	case string:
		return v == "true"
	}
	return false
}

// lookup returns a claim by its name or, when there is none of that name, by a dotted path into
// objects. Names themselves may contain dots, as in "https://example.org/groups".
func (c claims) lookup(path string) (any, bool) {
	if path == "" {
		return nil, false
	}
	if v, ok := c[path]; ok {
		return v, true
	}
	var at any = map[string]any(c)
	for part := range strings.SplitSeq(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = object[part]; !ok {
			return nil, false
		}
	}
	return at, true
}

// groups returns the strings of a claim that is a string or a list; ok is false when there is no
// such claim. It skips elements of a list that are not strings.
func (c claims) groups(path string) (names []string, ok bool) {
	v, ok := c.lookup(path)
	if !ok {
		return nil, false
	}
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		for _, e := range v {
			if s, isText := e.(string); isText {
				names = append(names, s)
			}
		}
	}
	return names, true
}

// naming turns a claim into a Unix user name.
type naming struct {
	claim     string
	pattern   *regexp.Regexp
	lowercase bool
	names     map[string]ident.User
	verified  bool
}

// user returns the Unix name for the claims, or a Denied.
func (n naming) user(c claims) (ident.User, error) {
	name := c.text(n.claim)
	if name == "" {
		return ident.User{}, &Denied{Reason: NoName, Detail: n.claim}
	}
	if n.verified && !c.emailVerified() {
		return ident.User{}, &Denied{Reason: UnverifiedEmail, Name: name}
	}
	m := n.pattern.FindStringSubmatch(name)
	if m == nil {
		return ident.User{}, &Denied{Reason: NameMismatch, Name: name, Detail: n.claim}
	}
	short := m[1]
	if n.lowercase {
		short = strings.ToLower(short)
	}
	if u, ok := n.names[short]; ok {
		return u, nil
	}
	u, err := ident.ParseUser(short)
	if err != nil {
		return ident.User{}, &Denied{Reason: NameMismatch, Name: name, Detail: err.Error()}
	}
	return u, nil
}
