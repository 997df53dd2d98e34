package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Show writes the effective settings as TOML, each with the source of its value as a comment. Secrets are shown as
// "***".
func (c *Config) Show(w io.Writer) error {
	var out strings.Builder
	tw := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	section := ""
	for _, s := range Settings() {
		if strings.Contains(s.Key, "*") {
			continue
		}
		if s.Section() != section {
			section = s.Section()
			fmt.Fprintf(tw, "[%s]\n", section)
		}
		c.showLine(tw, s)
		if s.Key == "login.client_secret_file" && !c.Login.ClientSecret.IsZero() {
			fmt.Fprintf(tw, "# client_secret = %q\t# %s\n", c.Login.ClientSecret, c.origins["login.client_secret"].File)
		}
	}
	for _, s := range sections() {
		if s.Many() {
			c.showNamed(tw, s)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, strings.ReplaceAll(out.String(), "\n[", "\n\n["))
	return err
}

// showNamed writes all sections of a kind, each with the keys that are set.
func (c *Config) showNamed(w io.Writer, kind settings.Section[Config]) {
	section := strings.TrimSuffix(kind.Key, "*")
	for _, name := range c.names(kind.Key) {
		_, _ = fmt.Fprintf(w, "[%s%s]\n", section, settings.QuoteKey(name))
		for _, s := range Settings() {
			if s.Section() != kind.Key {
				continue
			}
			if o, set := c.Origin(section + settings.QuoteKey(name) + "." + s.Name()); set {
				_, _ = fmt.Fprintf(w, "%s = %s\t# %s:%d\n", s.Name(), s.Show(c, settings.Entry{Name: name}), o.File,
					o.Line)
			}
		}
	}
}

func (c *Config) showLine(w io.Writer, s Setting) {
	value := s.Show(c, settings.Entry{})
	o, set := c.Origin(s.Key)
	where := "default"
	switch {
	case set && o.Line > 0:
		where = fmt.Sprintf("%s:%d", o.File, o.Line)
	case set:
		where = o.File
	case s.Key == "http.public_url" && c.HTTP.PublicURL != "":
		where = "from login.callback_url"
	}
	if !set && (value == "" || value == `""` || value == "[]" || value == "{}") {
		_, _ = fmt.Fprintf(w, "# %s\t# not set\n", s.Name())
		return
	}
	_, _ = fmt.Fprintf(w, "%s = %s\t# %s\n", s.Name(), value, where)
}
