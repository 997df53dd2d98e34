package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Variables of the old set-up's env file.
const (
	envCallbackURL  = "OAUTH_CALLBACK_URL"
	envClientID     = "OAUTH_CLIENT_ID"
	envClientSecret = "OAUTH_CLIENT_SECRET"
)

// ParseEnvFile reads a file as `docker run --env-file` does (docker/cli, pkg/kvfile). A line is NAME=value, where the
// value is the rest of the line, with quotes and spaces. NAME alone takes the value from lookup if it is set there.
// Empty lines and lines that begin with #, also after blanks, are skipped. A later line wins. file names the source in
// problems, which never contain a value.
func ParseEnvFile(file string, data []byte, lookup func(string) (string, bool)) (map[string]string, settings.Problems) {
	var problems settings.Problems
	variables := map[string]string{}
	n := 0
	for raw := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		n++
		line := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		if err := parseEnvLine(line, lookup, variables); err != nil {
			problems = append(problems, settings.Problem{File: file, Line: n, Text: err.Error()})
		}
	}
	return variables, problems
}

func parseEnvLine(line string, lookup func(string) (string, bool), variables map[string]string) error {
	if !utf8.ValidString(line) {
		return fmt.Errorf("the line is not UTF-8")
	}
	if strings.ContainsRune(line, 0) {
		return fmt.Errorf("the line holds a NUL byte")
	}
	line = strings.TrimLeft(line, " \t\v\f\r")
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	name, value, hasValue := strings.Cut(line, "=")
	switch {
	case name == "":
		return fmt.Errorf("the name before the equals sign is missing; expected NAME=value")
	case strings.ContainsAny(name, " \t\v\f\r"):
		return fmt.Errorf("the name contains a blank; expected NAME=value")
	case hasValue:
		variables[name] = value
	default:
		if v, ok := lookup(name); ok {
			variables[name] = v
		}
	}
	return nil
}
