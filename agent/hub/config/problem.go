package config

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with the settings.
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

// Problems is every problem of the settings, in the order of files and lines. It is the
// error that Load returns for settings that cannot be used.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// expected says what is wrong with a value of a setting.
func expected(s Setting, v any, err error) string {
	if errors.Is(err, errType) {
		return "expected " + s.Type + ", found " + typeName(v)
	}
	return "expected " + s.Type + "; " + err.Error()
}

func typeName(v any) string {
	switch v.(type) {
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
