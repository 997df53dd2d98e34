//go:build e2e && demo

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestDemo does the main job as alice and prints what she and her administrator would
// see. It is what "make demo" runs; the host stays up afterwards.
func TestDemo(t *testing.T) {
	h := theHost(t)
	show := func(title, text string) {
		fmt.Printf("\n── %s\n%s\n", title, strings.TrimRight(text, "\n"))
	}
	v := member(t, h, "alice")
	show("alice signed in at the demo institute and is at", v.get("/hub/home").url.String())
	v.start("alice", "jupyterlab")
	k := v.newKernel("alice")
	show("a cell that ran over her kernel's WebSocket", "In  [1]: import os, getpass, socket; "+
		"print(getpass.getuser(), os.getuid(), os.getcwd())\n         open('hello.txt', 'w').write('written in the "+
		"notebook')\n         print(6 * 7)\nOut [1]: "+
		strings.ReplaceAll(strings.TrimSpace(k.exec("import os, getpass, socket; print(getpass.getuser(), "+
			"os.getuid(), os.getcwd())\nopen('hello.txt', 'w').write('written in the notebook')\nprint(6 * 7)")), "\n",
			"\n         "))
	show("systemctl status jupyter-alice", h.run(t, "systemctl", "status", "--no-pager", "-n", "5",
		"jupyter-alice.service"))
	show("the file on the host: ls -l /cluster/alice/hello.txt", h.run(t, "ls", "-l", "/cluster/alice/hello.txt"))
	show("journalctl -u gifford-hub JUPYTER_USER=alice", h.run(t, "journalctl", "-q", "--no-pager", "-n", "6", "-u",
		"gifford-hub", "JUPYTER_USER=alice"))
	show("gifford-hub servers list", h.run(t, "gifford-hub", "servers", "list"))
	show("systemctl status gifford-hub", h.run(t, "systemctl", "status", "--no-pager", "-n", "0",
		"gifford-hub.service"))
}
