// Package settings reads a TOML file by a table of its keys. The table says how each key is read, its default, and its
// documentation. The hub's settings and the launcher's policy are such tables. An unknown key and a value that its kind
// refuses are problems with file and line, never ignored. The package must never open a file, resolve a value on the
// host, or guess what was meant.
package settings

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Table is everything that a kind of file may hold. C is the struct that it fills.
type Table[C any] struct {
	Manual   string // the manual page that lists all keys, for messages
	Sections []Section[C]
	Keys     []Key[C]
	Numbers  bool // kinds get a Number for each number
}

// Section is a section. The table has the sections in the order in which they are documented and read: one may start
// from the values of an earlier one.
type Section[C any] struct {
	// Key is "host" for [host], "profile.*" for sections [profile.NAME], "mount[]" for sections [[mount]], and
	// "profile.*.mount[]" for sections [[profile.NAME.mount]].
	Key string
	Doc string // Markdown without links
	// Check refuses names. It is nil for sections without names, or with arbitrary ones.
	Check func(name string) error
	// Add makes the entry of a section that may occur many times, unless another file has made it, and reports whether
	// it did. Required for such sections.
	Add func(c *C, at Entry) bool
	// Refuse explains why a section that people may expect does not exist.
	Refuse string
	// Example is the name of an entry in the documentation; "" means NAME.
	Example string
	// SampleName is the name of an entry that the file of the package sets. "" means none: there the section is a
	// comment.
	SampleName string
	// Sample is more lines of that file. They follow the section's keys.
	Sample string
}

// Many reports whether there may be more than one such section.
func (s Section[C]) Many() bool {
	return strings.HasSuffix(s.Key, "*") || strings.HasSuffix(s.Key, "[]")
}

// title is the section's first line as people write it, with the name of an entry.
func (s Section[C]) title(name string) string {
	title := strings.Replace(s.Key, "*", cmp.Or(name, "NAME"), 1)
	if list, ok := strings.CutSuffix(title, "[]"); ok {
		return "[[" + list + "]]"
	}
	return "[" + title + "]"
}

// Entry identifies one of many sections.
type Entry struct {
	Name  string // for the "*" of the section's key
	Index int    // for its "[]", from 0
}

// Key is one key.
type Key[C any] struct {
	Key  string // the section's key, a dot and the key's name
	Type string // what is expected, for people
	Words
	// Read sets the field. Its error describes the fault of the value, without the key.
	Read func(c *C, at Entry, v any) error
	// Show returns the field as TOML; nil where nothing shows it.
	Show func(c *C, at Entry) string
}

// Words are the documentation of a key.
type Words struct {
	Default string // as TOML; "" when there is none
	Example string // as TOML; "" when the default is example enough
	Sample  string // as TOML: what the file of the package sets; "" for nothing
	Doc     string // sentences in Markdown without links
}

// Section returns the key of the key's section.
func (k Key[C]) Section() string { return k.Key[:strings.LastIndexByte(k.Key, '.')] }

// Name returns the key's name within its section.
func (k Key[C]) Name() string { return k.Key[strings.LastIndexByte(k.Key, '.')+1:] }

// Define binds a key to its field.
func Define[C, T any](key string, kind Kind[T], field func(c *C, at Entry) *T, words Words) Key[C] {
	k := Key[C]{Key: key, Type: kind.Name, Words: words, Read: func(c *C, at Entry, v any) error {
		value, err := kind.Read(v)
		if err == nil {
			*field(c, at) = value
		}
		return err
	}}
	if kind.Show != nil {
		k.Show = func(c *C, at Entry) string { return kind.Show(*field(c, at)) }
	}
	return k
}

// Defaults sets every key of the sections that occur once to its default. An error is a mistake in the table.
func (t Table[C]) Defaults(c *C) error {
	for _, s := range t.Sections {
		if strings.ContainsAny(s.Key, "*[") {
			continue
		}
		if err := t.defaults(c, s.Key, Entry{}); err != nil {
			return err
		}
	}
	return nil
}

// defaults sets the keys of one section.
func (t Table[C]) defaults(c *C, section string, at Entry) error {
	for _, k := range t.Keys {
		if k.Default == "" || k.Section() != section {
			continue
		}
		var doc struct{ V any }
		text := []byte("V = " + k.Default)
		err := toml.Unmarshal(text, &doc)
		if err == nil && t.Numbers {
			_, texts := keyLines(text)
			doc.V = written(texts, "V", doc.V)
		}
		if err == nil {
			err = k.Read(c, at, doc.V)
		}
		if err != nil {
			return fmt.Errorf("default of %s: %w", k.Key, err)
		}
	}
	return nil
}
