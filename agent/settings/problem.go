package settings

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one fault of a file.
type Problem struct {
	File string // path, or the name of a credential or variable; never empty
	Line int    // 0 when the problem has no line, such as a key that is missing
	Key  string // "login.issuer"; "" when the file cannot be read as TOML
	Text string // what is wrong and what is expected
}

func (p Problem) Error() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Key == "" {
		return where + ": " + p.Text
	}
	return where + ": " + p.Key + ": " + p.Text
}

// Problems are all problems of some files, in the order of files and lines.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Below is a problem of a key inside a value that is a table.
type Below struct {
	Key string // below the value's, as QuoteKey writes it
	Err error
}

func (e *Below) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Below) Unwrap() error { return e.Err }

// element is a problem of one value of a list.
type element struct {
	index int
	err   error
}

func (e *element) Error() string { return e.err.Error() }
func (e *element) Unwrap() error { return e.err }

// ErrType says that a value has another TOML type than its kind.
var ErrType = errors.New("wrong type")

// Expected says what is wrong with a value, from the name of its kind, the value and the kind's error.
func Expected(name string, v any, err error) string {
	if errors.Is(err, ErrType) {
		return "expected " + name + ", found " + TypeName(v)
	}
	return "expected " + name + "; " + err.Error()
}

// TypeName is the TOML type of a decoded value, for people.
func TypeName(v any) string {
	switch v := v.(type) {
	case Number:
		return TypeName(v.Value)
	case string:
		return "text"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case []any:
		return "a list of other things"
	case map[string]any:
		return "a table"
	default:
		return "a date or time"
	}
}

// suggest returns the known key that was probably meant, or "".
func suggest(key string, known []string) string {
	name := key[strings.LastIndexByte(key, '.')+1:]
	best, bestDistance := "", len(name)/3+2
	for _, k := range known {
		d := min(distance(key, k), 1+distance(name, k[strings.LastIndexByte(k, '.')+1:]))
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is Levenshtein's: how many letters to add, drop or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
