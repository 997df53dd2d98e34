package main

import (
	"io"

	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// policyIntro is Markdown without links.
const policyIntro = "The launcher, which runs as root, takes images, mounts, limits and arguments from this file " +
	"and from " +
	"nobody else; a caller names a member and a profile. The file is TOML, belongs to root, may be writable " +
	"by nobody else, and is read at each request, so a change needs no restart: it counts from the next start " +
	"of a server. An unknown key or a wrong value is an error that names the line, and nothing starts until " +
	"it is fixed; `gifford-hub check` shows it, as does `journalctl -u gifford-launcher`."

// policyFile writes the launcher.toml that the package installs.
func policyFile(w io.Writer) error {
	const intro = `# /etc/gifford-hub/launcher.toml: what gifford-launcher, the root part of gifford-hub, may do.
# All of it is in launcher.toml(5). It must belong to root and be writable by nobody else. A change counts
# from the next start of a server; nothing needs a restart. "gifford-hub check" tests it, and an
# unknown key or bad value is an error that names the line: journalctl -u gifford-launcher.
# Lines that begin with "#" and a key show the default, or an example where there is none.
`
	return sampleFile(w, intro, policy.Chapters())
}

// manPolicy writes launcher.toml(5).
func manPolicy(w io.Writer) error {
	p := newPage("launcher.toml", "5", "Policy of the launcher")
	p.section("NAME")
	p.text("launcher.toml - what members' servers may be: the policy of gifford-launcher")
	p.section("SYNOPSIS")
	p.text(policy.File)
	p.section("DESCRIPTION")
	p.text(policyIntro)
	p.chapters(policy.Chapters())
	p.section("EXAMPLE")
	p.example(examplePolicy)
	p.section("SEE ALSO")
	p.text("gifford-launcher(8), gifford-hub(1), gifford-hub.toml(5), systemd.resource-control(5), podman-run(1)")
	_, err := io.WriteString(w, p.String())
	return err
}

const examplePolicy = `[host]
create_home = true
unix_groups = ["cgs"]

[defaults]
memory_max = "16G"
cpu_quota = "400%"

[profile.scipy]
default = true
display_name = "Python"
image = "quay.io/jupyter/scipy-notebook:latest"

[profile.big]
display_name = "Python, much memory"
image = "quay.io/jupyter/scipy-notebook:latest"
memory_max = "128G"
unix_groups = ["cgs-big"]
`
