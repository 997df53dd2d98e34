package ident

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// badUsers and badServers are names that no way in may let pass: each is refused by one rule alone.
var (
	badUsers   = []string{"", "-rf", "9lives", "alice:x", "../bob", "älice", strings.Repeat("a", 33)}
	badServers = []string{"2gpu", "-gpu", "gpu-", "g--pu", "Gpu", "a.b", strings.Repeat("a", 31)}
)

// decoders are the ways in which a name reaches a struct. Each gets a text and decodes it into v.
func decoders() map[string]func(s string, v any) error {
	quoted := func(s string) []byte { b, _ := json.Marshal(s); return b }
	return map[string]func(s string, v any) error{
		"JSON": func(s string, v any) error { return json.Unmarshal([]byte(`{"Name":`+string(quoted(s))+`}`), v) },
		"TOML": func(s string, v any) error { return toml.Unmarshal([]byte(`Name = `+string(quoted(s))), v) },
		"key": func(s string, v any) error {
			return json.Unmarshal([]byte(`{"Keys":{`+string(quoted(s))+`:true}}`), v)
		},
		"list": func(s string, v any) error { return json.Unmarshal([]byte(`{"List":[`+string(quoted(s))+`]}`), v) },
	}
}

// TestDecodeUser checks that no decoder makes a User that ParseUser refuses, and that all take a good one.
func TestDecodeUser(t *testing.T) {
	type document struct {
		Name User
		Keys map[User]bool
		List []User
	}
	for way, decode := range decoders() {
		for _, bad := range badUsers {
			var d document
			if err := decode(bad, &d); err == nil {
				t.Errorf("%s: %q was taken as %+v", way, bad, d)
			}
		}
		var d document
		if err := decode("Zoë", &d); err == nil {
			t.Errorf("%s: a name that is not ASCII was taken", way)
		}
		want := User{"zoe.Z-0_9"}
		d = document{}
		if err := decode(want.String(), &d); err != nil || d.Name != want && !d.Keys[want] && (len(d.List) != 1 ||
			d.List[0] != want) {
			t.Errorf("%s: a good name gave %+v, %v", way, d, err)
		}
	}
}

// TestDecodeServer is TestDecodeUser for the names of servers, of which the empty one is good.
func TestDecodeServer(t *testing.T) {
	type document struct {
		Name Server
		Keys map[Server]bool
		List []Server
	}
	for way, decode := range decoders() {
		for _, bad := range badServers {
			var d document
			if err := decode(bad, &d); err == nil {
				t.Errorf("%s: %q was taken as %+v", way, bad, d)
			}
		}
		for _, good := range []string{"", "gpu-2"} {
			want, d := Server{good}, document{Name: Server{"before"}}
			if err := decode(good, &d); err != nil || d.Name != want && !d.Keys[want] && (len(d.List) != 1 ||
				d.List[0] != want) {
				t.Errorf("%s: %q gave %+v, %v", way, good, d, err)
			}
		}
	}
}

// TestUnmarshalTextForgets checks that a name that is refused leaves nothing of the one before it.
func TestUnmarshalTextForgets(t *testing.T) {
	u, s := User{"alice"}, Server{"gpu"}
	if err := u.UnmarshalText([]byte("-rf")); err == nil || !u.IsZero() {
		t.Errorf("user %q, %v", u, err)
	}
	if err := s.UnmarshalText([]byte("Gpu")); err == nil || !s.IsDefault() {
		t.Errorf("server %q, %v", s, err)
	}
}

// TestEncode checks that what is encoded decodes to itself.
func TestEncode(t *testing.T) {
	key := Key{User{"alice"}, Server{"gpu"}}
	text, err := json.Marshal(map[User]Server{key.User: key.Server})
	if err != nil || string(text) != `{"alice":"gpu"}` {
		t.Errorf("%s, %v", text, err)
	}
}
