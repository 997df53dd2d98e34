package hosts

import "testing"

func TestHas(t *testing.T) {
	named := New(Config{PublicURL: "https://Hub.example.org:8443/x/", Others: []string{"old.example.org", "192.0.2.7",
		"2001:DB8::7"}})
	v6 := New(Config{PublicURL: "https://[2001:db8::1]/"})
	origins := New(Config{PublicURL: "https://hub.example.org/", Below: func(host string) bool {
		return host == "alice.hub.example.org"
	}})
	tests := map[string]struct {
		set  Set
		host string
		want bool
	}{
		"its name":              {named, "hub.example.org", true},
		"its port":              {named, "hub.example.org:8443", true},
		"another port":          {named, "hub.example.org:443", true},
		"an empty port":         {named, "hub.example.org:", true},
		"other case":            {named, "HUB.Example.org", true},
		"another of its names":  {named, "old.example.org:443", true},
		"an address":            {named, "192.0.2.7:443", true},
		"an address of IPv6":    {named, "[2001:db8:0::7]:443", true},
		"without a port":        {named, "[2001:db8::7]", true},
		"mapped":                {named, "[::ffff:192.0.2.7]", true},
		"the public address":    {v6, "[2001:db8::1]", true},
		"none":                  {named, "", false},
		"another":               {named, "evil.example", false},
		"below":                 {named, "x.hub.example.org", false},
		"above":                 {named, "example.org", false},
		"begins with it":        {named, "hub.example.org.evil.example", false},
		"ends with it":          {named, "evilhub.example.org", false},
		"with a dot at the end": {named, "hub.example.org.", false},
		"no port":               {named, "hub.example.org:x", false},
		"two ports":             {named, "hub.example.org:1:2", false},
		"with a user":           {named, "hub.example.org@evil.example", false},
		"another address":       {named, "127.0.0.1", false},
		"without a name":        {New(Config{}), "anything.example", true},
		"no URL":                {New(Config{PublicURL: "://"}), "anything.example", true},
		"a member's":            {origins, "alice.hub.example.org", true},
		"no member's":           {origins, "alice.evil.example", false},
		"the hub's beside them": {origins, "hub.example.org", true},
		"its name by brackets":  {named, "[hub.example.org]", true},
		"another by brackets":   {named, "[evil.example]", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.set.Has(tt.host); got != tt.want {
				t.Errorf("Has(%q) is %v", tt.host, got)
			}
		})
	}
	if got := named.Public(); got != "https://Hub.example.org:8443/x/" {
		t.Errorf("public URL %q", got)
	}
}
