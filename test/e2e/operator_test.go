//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// testServices checks what systemctl and journalctl show of the hub.
func testServices(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab")
	status := h.run(t, "systemctl", "status", "--no-pager", "gifford-hub.service")
	if !strings.Contains(status, "Status: \"") || !strings.Contains(status, "1 server") &&
		!strings.Contains(status, "servers") || !strings.Contains(status, ":443") {
		t.Errorf("the status line does not tell how many servers run and on what address:\n%s", status)
	}
	if user := h.property(t, "gifford-hub.service", "User"); user != "gifford-hub" {
		t.Errorf("the hub runs as %q", user)
	}
	pid := h.property(t, "gifford-hub.service", "MainPID")
	if caps := h.run(t, "grep", "CapEff", "/proc/"+pid+"/status"); !strings.Contains(caps, "0000000000000000") {
		t.Errorf("the hub has capabilities: %s", caps)
	}
	if watchdog := h.property(t, "gifford-hub.service", "WatchdogUSec"); watchdog == "0" || watchdog == "infinity" {
		t.Errorf("the hub has no watchdog: %s", watchdog)
	}
	if groups := strings.Fields(h.run(t, "grep", "Groups:", "/proc/"+pid+"/status")); len(groups) > 2 {
		t.Errorf("the hub is in more groups than its own: %v", groups)
	}
	if out, _ := h.try(t.Context(), "runuser", "-u", "gifford-hub", "--", "journalctl", "-q", "-n",
		"5"); strings.Contains(
		out, "systemd[1]") {
		t.Errorf("the hub's account reads the host's journal:\n%s", out)
	}
	if log := h.run(t, "busctl", "call", "org.giffordlab.Launcher1", "/org/giffordlab/Launcher1",
		"org.giffordlab.Launcher1", "Log", "sstsu", "alice", "", "0", "", "1000"); !strings.Contains(log,
		"Started jupyter-alice.service") {
		t.Errorf("the launcher does not pass on what alice's unit has written: %.500s", log)
	}
	h.fails(t, "busctl", "call", "org.giffordlab.Launcher1", "/org/giffordlab/Launcher1",
		"org.giffordlab.Launcher1", "Log", "sstsu", "alice", "", "0", "--file=/etc/shadow", "1")
	var entry map[string]any
	line := h.run(t, "journalctl", "-u", "gifford-hub", "-o", "json", "-n", "1", "JUPYTER_USER=alice",
		"EVENT=server-ready")
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatalf("no entry for alice's start: %v: %s", err, line)
	}
	for _, field := range []string{"JUPYTER_USER", "JUPYTER_UNIT", "EVENT", "MESSAGE"} {
		if entry[field] == nil {
			t.Errorf("the entry has no field %s: %v", field, entry)
		}
	}
}

// testCommands uses the operator's commands.
func testCommands(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "bob")
	v.stop("bob")
	h.run(t, "gifford-hub", "servers", "start", "bob")
	if ready, _ := v.server("bob"); !ready {
		t.Error("\"servers start\" came back before the server was ready")
	}
	if list := h.run(t, "gifford-hub", "servers", "list"); !strings.Contains(list, "bob") {
		t.Errorf("\"servers list\" does not show bob:\n%s", list)
	}
	if log := h.run(t, "gifford-hub", "servers", "logs", "bob"); !strings.Contains(log, "bob") {
		t.Errorf("\"servers logs\" shows nothing of bob's server:\n%s", log)
	}
	h.run(t, "gifford-hub", "servers", "stop", "bob")
	if ready, _ := v.server("bob"); ready {
		t.Error("\"servers stop\" came back before the server was gone")
	}
	if out := h.fails(t, "gifford-hub", "servers", "start", "nobody-here"); !strings.Contains(out, "nobody-here") {
		t.Errorf("starting a server for an account that is not there says:\n%s", out)
	}
	if out := h.fails(t, "runuser", "-u", "alice", "--", "gifford-hub", "servers", "stop",
		"bob"); !strings.Contains(out, "root") {
		t.Errorf("alice's \"servers stop bob\" says:\n%s", out)
	}
	if v := h.run(t, "gifford-hub", "version"); strings.TrimSpace(v) == "" {
		t.Error("\"version\" says nothing")
	}
	h.run(t, "test", "-s", "/usr/share/man/man1/gifford-hub.1.gz")
}

// testCheck runs the host's check, first as the host is, then with things broken.
func testCheck(t *testing.T) {
	h := theHost(t)
	out, err := h.try(t.Context(), "gifford-hub", "check", "--user", "alice")
	if err != nil {
		t.Errorf("the check fails on a host that works: %v\n%s", err, out)
	}
	t.Run("launcher is closed to members", func(t *testing.T) {
		for _, user := range []string{"alice", "nobody"} {
			h.fails(t, "runuser", "-u", user, "--", "busctl", "call", "org.giffordlab.Launcher1",
				"/org/giffordlab/Launcher1", "org.giffordlab.Launcher1", "Profiles")
		}
	})
	t.Run("provider is down", func(t *testing.T) {
		h.run(t, "systemctl", "stop", "demo-idp.service")
		defer func() {
			h.run(t, "systemctl", "start", "demo-idp.service")
			eventually(t, "the provider answers", time.Minute, func() bool {
				_, err := h.try(noEnd(t), "curl", "-sf", "-o", "/dev/null",
					"http://"+h.ip+":9000/.well-known/openid-configuration")
				return err == nil
			})
		}()
		if out := h.fails(t, "gifford-hub", "check"); !strings.Contains(out, ":9000") {
			t.Errorf("the check does not name the provider:\n%s", out)
		}
	})
}

// testBadSettings checks that a wrong setting is named by file and line, by the command
// and in the journal.
func testBadSettings(t *testing.T) {
	h := theHost(t)
	const path = "/etc/gifford-hub/hub.d/98-wrong.toml"
	h.run(t, "install", "-d", "-m", "0755", "/etc/gifford-hub/hub.d")
	defer h.run(t, "rm", "-f", path)
	for name, tt := range map[string]struct{ text, line, word string }{
		"unknown key": {"[login]\n\nissuerr = \"x\"\n", ":3", "issuerr"},
		"wrong type":  {"[http]\nredirect_port = \"eighty\"\n", ":2", "redirect_port"},
		"no TOML":     {"[http\n", ":1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h.put(t, path, "0644", tt.text)
			if out := h.fails(t, "gifford-hub", "config", "validate"); !strings.Contains(out,
				"98-wrong.toml"+tt.line) || !strings.Contains(out, tt.word) {
				t.Errorf("\"config validate\" does not name the line:\n%s", out)
			}
		})
	}
	h.run(t, "rm", "-f", path)
	h.run(t, "gifford-hub", "config", "validate")
}

// testTLS checks the redirect from plain HTTP, HTTP/2, that headers of a proxy are not
// believed, and that a new certificate is taken up by itself.
func testTLS(t *testing.T) {
	h := theHost(t)
	v := newVisitor(t, h)
	v.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p := v.do("GET", "http://"+h.ip+"/user/alice/lab?x=1", "", "")
	if p.status/100 != 3 || p.header.Get("Location") != "https://"+h.ip+"/user/alice/lab?x=1" {
		t.Errorf("plain HTTP: %d to %s", p.status, p.header.Get("Location"))
	}
	conn, err := tls.Dial("tcp", net.JoinHostPort(h.ip, "443"),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{http2.NextProtoTLS}})
	if err != nil {
		t.Fatal(err)
	}
	old := conn.ConnectionState().PeerCertificates[0].SerialNumber
	if proto := conn.ConnectionState().NegotiatedProtocol; proto != "h2" {
		t.Errorf("the hub negotiated %q, want HTTP/2", proto)
	}
	_ = conn.Close()
	h.run(t, "sh", "-ec", `cd /etc/gifford-hub/tls
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=hub.gifford.test \
	-keyout n.key -out n.csr 2>/dev/null
printf "subjectAltName=IP:%s,DNS:hub.gifford.test\n" "$1" >n.ext
openssl x509 -req -in n.csr -CA ca.pem -CAkey ca.key -days 19 -extfile n.ext -out n.crt 2>/dev/null
cat n.crt n.key >n.pem; chgrp gifford-hub n.pem; chmod 0640 n.pem; mv n.pem hub_all.pem; rm -f n.key n.csr n.ext n.crt`,
		"renew", h.ip)
	eventually(t, "the new certificate is served", 30*time.Second, func() bool {
		conn, err := tls.Dial("tcp", net.JoinHostPort(h.ip, "443"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(old) != 0
	})
}

// testStoppedServer checks what a stopped server's URL answers to people and programs.
func testStoppedServer(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "bob")
	v.stop("bob")
	if p := v.get("/user/bob/lab/tree/x.ipynb"); p.status != http.StatusFailedDependency ||
		!strings.Contains(p.body, "<form") {
		t.Errorf("a page of a stopped server: %s", p)
	}
	if p := v.get("/user/bob/api/kernels"); p.status != http.StatusFailedDependency ||
		!strings.HasPrefix(p.header.Get("Content-Type"), "application/json") ||
		!strings.Contains(p.body, "no longer running") {
		t.Errorf("the API of a stopped server: %s", p)
	}
}
