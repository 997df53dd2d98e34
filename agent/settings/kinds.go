package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is a type of value.
type Kind[T any] struct {
	Name string               // what is expected, for people
	Read func(any) (T, error) // from what the TOML decoder returns; ErrType for a value of another TOML type
	Show func(T) string       // as TOML; nil where nothing shows such a value
}

// OfText makes a kind whose TOML type is text.
func OfText[T any](name string, parse func(string) (T, error), show func(T) string) Kind[T] {
	return Kind[T]{name, func(v any) (T, error) {
		s, ok := v.(string)
		if !ok {
			var zero T
			return zero, ErrType
		}
		return parse(s)
	}, show}
}

// ListOf makes a kind of lists. An error of one value is an error of the list, on the value's own line.
func ListOf[T any](name string, of Kind[T]) Kind[[]T] {
	kind := Kind[[]T]{Name: name, Read: func(v any) ([]T, error) {
		values, ok := v.([]any)
		if !ok {
			return nil, ErrType
		}
		list := make([]T, 0, len(values))
		for i, v := range values {
			t, err := of.Read(v)
			if err != nil {
				return nil, &element{i, err}
			}
			list = append(list, t)
		}
		return list, nil
	}}
	if of.Show != nil {
		kind.Show = func(list []T) string {
			shown := make([]string, len(list))
			for i, t := range list {
				shown[i] = of.Show(t)
			}
			return "[" + strings.Join(shown, ", ") + "]"
		}
	}
	return kind
}

// OneOf makes a kind of a few texts. "" may be among them; messages do not mention it.
func OneOf[T ~string](choices ...T) Kind[T] {
	var quoted []string
	for _, c := range choices {
		if c != "" {
			quoted = append(quoted, strconv.Quote(string(c)))
		}
	}
	name := strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
	return OfText(name, func(s string) (T, error) {
		if !slices.Contains(choices, T(s)) {
			return "", fmt.Errorf("%.60q is none of these", s)
		}
		return T(s), nil
	}, func(t T) string { return strconv.Quote(string(t)) })
}

// Bool makes the kind of true and false.
func Bool() Kind[bool] {
	return Kind[bool]{"true or false", func(v any) (bool, error) {
		b, ok := v.(bool)
		if !ok {
			return false, ErrType
		}
		return b, nil
	}, strconv.FormatBool}
}

// Whole makes a kind of whole numbers from least to most, which T must be able to hold.
func Whole[T ~int | ~uint16 | ~uint32](name string, least, most int64) Kind[T] {
	return Kind[T]{name, func(v any) (T, error) {
		if number, ok := v.(Number); ok {
			v = number.Value
		}
		n, ok := v.(int64)
		if !ok {
			return 0, ErrType
		}
		if n < least || n > most {
			return 0, fmt.Errorf("%d is out of range", n)
		}
		return T(n), nil
	}, func(n T) string { return strconv.FormatInt(int64(n), 10) }}
}

// Plain refuses control characters.
func Plain(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.New("it holds a control character")
	}
	return s, nil
}

// QuoteKey writes one part of a key as TOML does, so that a quoted key that contains a dot is not read as two.
func QuoteKey(s string) string {
	bare := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
	if bare && s != "" {
		return s
	}
	return strconv.Quote(s)
}
