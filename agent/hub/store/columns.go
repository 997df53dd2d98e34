package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// micros is the saved form of a time; the zero time is NULL.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// timeCol scans what micros wrote.
type timeCol struct{ t *time.Time }

func (c timeCol) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*c.t = time.Time{}
	case int64:
		*c.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("cannot scan a %T as a time", src)
	}
	return nil
}

// list is how strings are saved: a JSON array.
func list(s []string) string {
	if len(s) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(s) // strings always have a JSON form
	return string(b)
}

// listCol scans what list wrote. An empty list is nil.
type listCol struct{ s *[]string }

func (c listCol) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("cannot scan a %T as a list", src)
	}
	*c.s = nil
	if text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), c.s)
}

// userCol scans a user name and checks it.
type userCol struct{ u *ident.User }

func (c userCol) Scan(src any) (err error) {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("cannot scan a %T as a user name", src)
	}
	*c.u, err = ident.ParseUser(text)
	return err
}

// serverCol scans a server name and checks it.
type serverCol struct{ s *ident.Server }

func (c serverCol) Scan(src any) (err error) {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("cannot scan a %T as a server name", src)
	}
	*c.s, err = ident.ParseServer(text)
	return err
}

// anyUserCol scans a user name or, for nobody, the empty string.
type anyUserCol struct{ u *ident.User }

func (c anyUserCol) Scan(src any) error {
	if src == "" {
		*c.u = ident.User{}
		return nil
	}
	return userCol(c).Scan(src)
}

// object is how a JSON object is saved.
func object(m map[string]any) string {
	if len(m) == 0 {
		return "{}"
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "{}" // it was made of JSON, so it has a form in it
	}
	return string(b)
}

// objectCol scans what object wrote. An empty object is nil.
type objectCol struct{ m *map[string]any }

func (c objectCol) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("cannot scan a %T as an object", src)
	}
	*c.m = nil
	if text == "{}" {
		return nil
	}
	return json.Unmarshal([]byte(text), c.m)
}
