package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// kind is a type of value: its name for people, how it is read from what the TOML decoder
// gives, and how it is shown as TOML.
type kind[T any] struct {
	name string
	read func(any) (T, error)
	show func(T) string
}

// errType says that the value is of another TOML type than the kind.
var errType = errors.New("wrong type")

// ofText makes a kind whose TOML type is text.
func ofText[T any](name string, parse func(string) (T, error), show func(T) string) kind[T] {
	return kind[T]{name, func(v any) (T, error) {
		s, ok := v.(string)
		if !ok {
			var zero T
			return zero, errType
		}
		return parse(s)
	}, show}
}

// listOf makes a kind of lists; an element's error names the element.
func listOf[T any](name string, element kind[T]) kind[[]T] {
	return kind[[]T]{name, func(v any) ([]T, error) {
		values, ok := v.([]any)
		if !ok {
			return nil, errType
		}
		list := make([]T, 0, len(values))
		for _, v := range values {
			t, err := element.read(v)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
		}
		return list, nil
	}, func(list []T) string {
		shown := make([]string, len(list))
		for i, t := range list {
			shown[i] = element.show(t)
		}
		return "[" + strings.Join(shown, ", ") + "]"
	}}
}

func quote(s string) string { return strconv.Quote(s) }

// quoteText is quote for types that are texts.
func quoteText[T fmt.Stringer](t T) string { return quote(t.String()) }

func plain(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.New("it holds a control character")
	}
	return s, nil
}

func filled(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty")
	}
	return plain(s)
}

var (
	text     = ofText(`text, such as "gifford-hub"`, filled, quote)
	texts    = listOf(`a list of texts, such as ["a", "b"]`, text)
	user     = ofText("a user name", ident.ParseUser, quoteText[ident.User])
	users    = listOf(`a list of user names, such as ["alice", "bob"]`, user)
	groups   = listOf(`a list of Unix groups, such as ["cgs"]`, ofText("a Unix group", parseGroup, quote))
	prefixes = listOf(`a list of addresses or networks, such as ["127.0.0.1", "10.0.0.0/8"]`,
		ofText("an address or network", parsePrefix, quoteText[netip.Prefix]))
	basePath       = ofText(`a path that begins with a slash, such as "/" or "/jupyter/"`, parseBasePath, quote)
	webURL         = ofText(`an absolute http or https URL, such as "https://hub.example.org/"`, parseURL, quote)
	path           = ofText(`an absolute path, such as "/etc/gifford-hub/file"`, parsePath, quote)
	pattern        = ofText(`a regular expression with a group, such as '^(.+)@example\.org$'`, parsePattern, quote)
	duration       = ofText(`a time above zero, such as "30s", "5m" or "24h"`, parseDuration, showDuration)
	durationOrZero = ofText(`a time, such as "12h", or "0s" for never`, parseDurationOrZero, showDuration)
	level          = ofText(`"debug", "info", "warn" or "error"`, parseLevel,
		func(l slog.Level) string { return quote(strings.ToLower(l.String())) })
	boolean      = kind[bool]{"true or false", readBool, strconv.FormatBool}
	optionalBool = kind[*bool]{"true or false", readOptionalBool, showOptionalBool}
	percent      = kind[int]{"a whole number of percent, such as 5, or 0", readPercent, strconv.Itoa}
	port         = kind[int]{"a port from 0 to 65535", readPort, strconv.Itoa}
	count        = kind[int]{"true, false or a number", readCount, showCount}
	cullGroups   = kind[map[string]CullGroup]{`a section for each group, such as { staff = { idle = "8h" } }`,
		readCullGroups, showCullGroups}
	userMap = kind[map[string]ident.User]{`a table of names, such as { haoyangz = "zeng" }`, readUserMap,
		showUserMap}
)

// oneOf is a text of a few.
func oneOf(choices ...string) kind[string] {
	var quoted []string
	for _, c := range choices {
		if c != "" {
			quoted = append(quoted, quote(c))
		}
	}
	return ofText(strings.Join(quoted, " or "), func(s string) (string, error) {
		if !slices.Contains(choices, s) {
			return "", errors.New("it is none of these")
		}
		return s, nil
	}, quote)
}
