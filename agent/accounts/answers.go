package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A "no" of getent(1) is not yet an answer: it exits alike for a name that no source knows and for one whose source,
// such as an LDAP directory behind SSSD, does not answer. So a "no" counts only where all sources answered before and
// after it.

// Switch is the file that names the sources of the name service, nsswitch.conf(5).
const Switch = "/etc/nsswitch.conf"

// onlyIfAnswers are the actions of nsswitch.conf(5) that ask the next source if the one before answered, whatever it
// said, and end the question without an answer if it did not.
const onlyIfAnswers = " [SUCCESS=continue NOTFOUND=continue UNAVAIL=return TRYAGAIN=return] "

// Answers reports, as an error, that a source of accounts or of groups does not answer.
func (d Directory) Answers(ctx context.Context) error {
	return errors.Join(d.answers(ctx, "passwd"), d.answers(ctx, "group"))
}

// answers asks each source of a database, and after it the host's files for root, whom every host has. The question
// succeeds only if the source has answered. Each source stands first in a question of its own: glibc passes over a
// later one whose library cannot be loaded.
func (d Directory) answers(ctx context.Context, database string) error {
	sources, err := d.sources(database)
	if err != nil {
		return err
	}
	for _, source := range sources {
		_, err = d.run(ctx, "--service="+database+":"+source+onlyIfAnswers+files, database, "root")
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%s: no answer from the name service: its source %q of %q is unavailable", d.command(),
				source, database)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// files is the source that reads the host's own files.
const files = "files"

// sources returns the sources of a database to ask. The host's files take part in each question, so they stand alone or
// not at all; they are the source also without the file, or without a line for the database (nsswitch.conf(5)).
func (d Directory) sources(database string) ([]string, error) {
	text, err := os.ReadFile(cmp.Or(d.Switch, Switch))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the sources of the name service: %w", err)
	}
	found := slices.DeleteFunc(parseSwitch(string(text), database), func(s string) bool {
		return s == files || unused(s)
	})
	if len(found) == 0 {
		found = []string{files}
	}
	return found, nil
}

// parseSwitch returns the sources that a nsswitch.conf(5) names for a database, without their actions.
func parseSwitch(text, database string) (sources []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		name, rest, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) != database {
			continue
		}
		for rest != "" {
			before, action, _ := strings.Cut(rest, "[")
			sources = append(sources, strings.Fields(before)...)
			_, rest, _ = strings.Cut(action, "]")
		}
		return sources
	}
	return nil
}

// sssPipe is where SSSD answers (sss_client). It stays when SSSD is stopped.
const sssPipe = "/var/lib/sss/pipes/nss"

// unused reports whether a source is one that distributions name also where nothing uses it, so that it never answers:
// the accounts of systemd itself, without its library, and SSSD where it has never run (RHEL 9).
func unused(source string) bool {
	switch source {
	case "systemd":
		return !installed(source)
	case "sss":
		_, err := os.Stat(sssPipe)
		return errors.Is(err, fs.ErrNotExist)
	}
	return false
}

// installed reports whether the library of a source is there.
func installed(source string) bool {
	for _, pattern := range []string{"/usr/lib/*/libnss_", "/usr/lib64/libnss_", "/usr/lib/libnss_", "/lib/*/libnss_"} {
		if found, _ := filepath.Glob(pattern + source + ".so.2"); len(found) > 0 {
			return true
		}
	}
	return false
}

// certain returns the answer to a question. A "no" counts only if the name service answers before and after it is
// asked once more: the first "no" may have come while a source was restarted.
func (d Directory) certain(ctx context.Context, ask func() (bool, error)) (bool, error) {
	if yes, err := ask(); yes || err != nil {
		return yes, err
	}
	if err := d.Answers(ctx); err != nil {
		return false, err
	}
	if yes, err := ask(); yes || err != nil {
		return yes, err
	}
	return false, d.Answers(ctx)
}
