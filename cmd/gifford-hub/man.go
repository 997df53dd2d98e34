package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// page builds a manual page (man(7)). It has no date, so that the same source always
// makes the same page.
type page struct{ strings.Builder }

func newPage(name, section, what string) *page {
	p := &page{}
	p.line(fmt.Sprintf(`.TH %s %s "" "gifford-hub" "%s"`, strings.ToUpper(name), section, what))
	return p
}

func (p *page) line(s string)        { p.WriteString(s + "\n") }
func (p *page) section(title string) { p.line(".SH " + title) }

// text writes a paragraph of Markdown without links.
func (p *page) text(s string) { p.line(roff(s)) }

// item writes a term and what it means.
func (p *page) item(term, s string) {
	p.line(".TP")
	p.line(`\fB` + roff(term) + `\fR`)
	p.text(s)
}

// example writes lines as they are.
func (p *page) example(s string) {
	p.line(".PP")
	p.line(".nf")
	for l := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		p.line(roff(l))
	}
	p.line(".fi")
}

// roff escapes a text, and makes what stands between backticks bold.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`, "'", `\(aq`).Replace(s)
	parts := strings.Split(s, "`")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = `\fB` + parts[i] + `\fR`
	}
	lines := strings.Split(strings.Join(parts, ""), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// manCommands writes gifford-hub(1) from the commands.
func manCommands(w io.Writer, root *cobra.Command) error {
	p := newPage("gifford-hub", "1", "Administrator's commands")
	p.section("NAME")
	p.text("gifford-hub - " + root.Short)
	p.section("SYNOPSIS")
	p.text("`gifford-hub` [`--config` FILE] [`--socket` PATH] [`--images-socket` PATH] COMMAND [ARGUMENT...]")
	p.section("DESCRIPTION")
	p.text(root.Long)
	p.section("COMMANDS")
	eachCommand(root, p.command)
	p.section("OPTIONS OF EVERY COMMAND")
	root.PersistentFlags().VisitAll(p.flag)
	p.item("-h, --help", "Say what a command does.")
	p.section("EXIT STATUS")
	p.item("0", "It worked.")
	p.item("1", "It failed, or `check` found a failure. The reason, and where there is one a next step, is on "+
		"standard error.")
	p.item("2", "The command line cannot be understood.")
	p.line(".PP")
	p.text("`servers logs` returns journalctl's, `servers shell` the command's, or 125 when it could not be run.")
	p.section("FILES")
	p.item(config.DefaultFile, "The settings, gifford-hub.toml(5).")
	p.item(config.DefaultSecrets, "Secrets that systemd hands to the hub: `client-secret`, and `oauth.env`, a "+
		"Docker env file with OAUTH_CALLBACK_URL, OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET.")
	p.item("/var/lib/gifford-hub", "The hub's database and keys.")
	p.item("/etc/gifford-hub/registry-auth.json", "Passwords for private registries, containers-auth.json(5), which "+
		"systemd hands to the image keeper.")
	p.item("/var/lib/gifford-images/storage", "The host's one copy of every image.")
	p.section("SEE ALSO")
	p.text("gifford-hub.toml(5), launcher.toml(5), gifford-launcher(8), journalctl(1), podman(1)")
	_, err := io.WriteString(w, p.String())
	return err
}

// eachCommand visits the commands that do something, in the order of their names.
func eachCommand(c *cobra.Command, visit func(*cobra.Command)) {
	for _, sub := range c.Commands() {
		switch {
		case !sub.IsAvailableCommand() || sub.Name() == "help":
		case sub.HasSubCommands() && sub.Name() != "completion":
			eachCommand(sub, visit)
		default:
			visit(sub)
		}
	}
}

func (p *page) command(c *cobra.Command) {
	use := strings.TrimPrefix(c.UseLine(), "gifford-hub ")
	p.line(".SS " + roff(strings.TrimSuffix(use, " [flags]")))
	p.text(c.Long)
	c.NonInheritedFlags().VisitAll(p.flag)
	if c.Example != "" {
		p.example(c.Example)
	}
}

func (p *page) flag(f *pflag.Flag) {
	if f.Name == "help" || f.Hidden {
		return
	}
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if f.Value.Type() != "bool" {
		name += " " + strings.ToUpper(f.Value.Type())
	}
	p.item(name, f.Usage)
}

// chapters writes what a table of keys says.
func (p *page) chapters(all []settings.Chapter) {
	for _, c := range all {
		p.section(c.Title)
		p.text(c.Doc)
		for _, k := range c.Keys {
			text := k.Doc + " Expected: " + k.Type + "."
			if k.Default != "" {
				text += " Default: " + code(k.Default) + "."
			}
			p.item(k.Name, text+exampleOf(k))
		}
	}
}

// manSettings writes gifford-hub.toml(5) from the table of settings.
func manSettings(w io.Writer) error {
	p := newPage("gifford-hub.toml", "5", "Settings of the hub")
	p.section("NAME")
	p.text("gifford-hub.toml - settings of gifford-hub")
	p.section("SYNOPSIS")
	p.text(config.DefaultFile)
	p.line(".br")
	p.text(config.DefaultDropIns + "/*.toml")
	p.section("DESCRIPTION")
	p.text(settingsIntro)
	p.chapters(config.Chapters())
	p.section("THE OLD ENV FILE")
	p.text("The Docker env file of the old set-up works unchanged as `/etc/gifford-hub/secrets/oauth.env`: it fills " +
		"in what [login] leaves out of client_id, callback_url and the secret. A line is NAME=value, where the " +
		"value is all that follows, quotes included; lines that begin with # are passed over.")
	p.section("EXAMPLE")
	p.example(exampleSettings)
	p.section("SEE ALSO")
	p.text("gifford-hub(1), launcher.toml(5)")
	_, err := io.WriteString(w, p.String())
	return err
}

// exampleSettings is the least that a hub needs.
const exampleSettings = `[tls]
certificate = "/etc/gifford-hub/tls/hub.pem"

[login]
issuer = "https://id.example.org/realms/lab"
client_id = "gifford-hub"
callback_url = "https://hub.example.org/hub/oauth_callback"

[access]
unix_groups = ["cgs"]
admin_users = ["dora"]
`
