package services

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// TestLimits tries URLs by every way in: a URL in the API, and the address at the time of a connection.
func TestLimits(t *testing.T) {
	l := Limits{Ports: []uint16{8081, 443, 80}}
	tests := map[string]struct {
		url  string
		addr string // what it leads to, where that is an address; "" for a name
		want bool
	}{
		"loopback":                     {"http://127.0.0.1:9000", "127.0.0.1:9000", true},
		"loopback, IPv6":               {"http://[::1]:9000", "[::1]:9000", true},
		"another host, a port of ours": {"https://10.0.0.7:443", "10.0.0.7:443", true},
		"a name":                       {"http://board.example.org:8081", "", true},
		"a socket":                     {"unix:/run/lab-board/board.sock", "", true},
		"a socket elsewhere":           {"unix:/srv/board/s", "", true},
		"no pages":                     {"", "", true},

		"the listener for servers": {"http://127.0.0.1:8081", "127.0.0.1:8081", false},
		"by another of loopback":   {"http://127.9.9.9:8081", "127.9.9.9:8081", false},
		"by IPv6":                  {"http://[::1]:8081", "[::1]:8081", false},
		"by a mapped address":      {"http://[::ffff:127.0.0.1]:8081", "[::ffff:127.0.0.1]:8081", false},
		"by no address":            {"http://0.0.0.0:8081", "0.0.0.0:8081", false},
		"by no address of IPv6":    {"http://[::]:8081", "[::]:8081", false},
		"by its name":              {"http://localhost:8081", "", false},
		"by its whole name":        {"http://LOCALHOST.:8081", "", false},
		"below its name":           {"http://a.localhost:8081", "", false},
		"the public one":           {"https://127.0.0.1", "127.0.0.1:443", false},
		"the redirecting one":      {"http://127.0.0.1/", "127.0.0.1:80", false},
		"by IPv4 in IPv6":          {"http://[64:ff9b::7f00:1]:8081", "[64:ff9b::7f00:1]:8081", false},
		"metadata":                 {"http://169.254.169.254", "169.254.169.254:80", false},
		"metadata, mapped":         {"http://[::ffff:a9fe:a9fe]", "[::ffff:169.254.169.254]:80", false},
		"metadata by IPv4 in IPv6": {"http://[64:ff9b::a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]:80", false},
		"metadata of Amazon, IPv6": {"http://[fd00:ec2::254]", "[fd00:ec2::254]:80", false},
		"metadata of Google, IPv6": {"http://[fd20:ce::254]", "[fd20:ce::254]:80", false},
		"metadata of Alibaba":      {"http://100.100.100.200", "100.100.100.200:80", false},
		"metadata of Azure":        {"http://168.63.129.16", "168.63.129.16:80", false},
		"metadata of Oracle":       {"http://192.0.0.192", "192.0.0.192:80", false},
		"link-local":               {"http://[fe80::1]:9000", "[fe80::1%eth0]:9000", false},
		"multicast":                {"http://224.0.0.1:9000", "224.0.0.1:9000", false},
		"the control socket":       {"unix:/run/gifford-hub/control.sock", "", false},
		"the image keeper":         {"unix:/run/gifford-images/control.sock", "", false},
		"a member's server":        {"unix:/run/gifford-launcher/servers/bob/_/nb.sock", "", false},
		"by dots":                  {"unix:/srv/../run/gifford-images/control.sock", "", false},
		"by slashes":               {"unix:/run//gifford-images/control.sock", "", false},
		"by the old name":          {"unix:/var/run/gifford-images/control.sock", "", false},
		"by the process":           {"unix:/proc/self/root/run/gifford-images/control.sock", "", false},
		"the bus":                  {"unix:/run/dbus/system_bus_socket", "", false},
		"systemd":                  {"unix:/run/systemd/private", "", false},
		"a port that is none":      {"http://127.0.0.1:99999", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			db := &noRecords{}
			r, err := New(t.Context(), Config{BaseURL: "/", Records: db, Limits: l})
			if err != nil {
				t.Fatal(err)
			}
			var invalid *InvalidError
			switch err := r.Add(Service{Name: "board", URL: tt.url}); {
			case tt.want && err != nil, !tt.want && !errors.As(err, &invalid):
				t.Errorf("Add: %v", err)
			case !tt.want && (db.saved || !strings.Contains(err.Error(), `service "board"`)):
				t.Errorf("saved: %v; %v", db.saved, err)
			}
			if tt.addr != "" {
				err := l.CheckAddr(netip.MustParseAddrPort(tt.addr))
				if (err == nil) != tt.want || !tt.want && hint.Of(err) == "" {
					t.Errorf("CheckAddr: %v", err)
				}
			}
			if _, err := New(t.Context(), Config{BaseURL: "/", Records: db, Limits: l,
				Declared: []Service{{Name: "board", URL: tt.url}}}); err != nil {
				t.Errorf("in the settings: %v", err)
			}
		})
	}
}

// noRecords is a database that notes whether something was saved.
type noRecords struct {
	records
	saved bool
}

func (n *noRecords) ServiceRecords(context.Context) ([]store.ServiceRecord, error) { return nil, nil }

func (n *noRecords) SaveService(context.Context, store.ServiceRecord) error {
	n.saved = true
	return nil
}

func TestCheckConnection(t *testing.T) {
	l := Limits{Ports: []uint16{443}}
	for name, tt := range map[string]struct {
		local, remote string
		want          bool
	}{
		"another host":           {"10.0.0.1:40000", "10.0.0.2:443", true},
		"this host, the hub":     {"10.0.0.1:40000", "10.0.0.1:443", false},
		"this host, another":     {"10.0.0.1:40000", "10.0.0.1:444", true},
		"this host, two forms":   {"[::ffff:10.0.0.1]:40000", "10.0.0.1:443", false},
		"this host, by IPv6":     {"[2001:db8::1]:40000", "[2001:db8::1]:443", false},
		"another host, by IPv6":  {"[2001:db8::1]:40000", "[2001:db8::2]:443", true},
		"this host, by loopback": {"127.0.0.1:40000", "127.0.0.1:443", false},
	} {
		if err := l.CheckConnection(netip.MustParseAddrPort(tt.local),
			netip.MustParseAddrPort(tt.remote)); (err == nil) !=
			tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
