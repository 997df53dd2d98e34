package contract

import (
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestNames checks that no two servers of one user share a name, whatever they are called.
func TestNames(t *testing.T) {
	seen := map[string]ident.Key{}
	for _, user := range []string{"a", "a-", "a--b", "a_"} {
		for _, server := range []string{"", "b", "b-c"} {
			key, err := ident.ParseKey(user, server)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{user + " " + ContainerName(key), user + " " + PersistentName(key, "b"),
				user + " " + PersistentName(key, "b-c"), SocketPath(key), CredentialPath(key)} {
				if other, taken := seen[name]; taken {
					t.Errorf("%v and %v are both %q", key, other, name)
				}
				seen[name] = key
			}
		}
	}
	longest, err := ident.ParseKey(strings.Repeat("u", 32), strings.Repeat("s", 30))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(SocketPath(longest)); n > 107 {
		t.Errorf("the longest socket path has %d bytes; sun_path takes 107", n)
	}
}
