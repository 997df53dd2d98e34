package contract

import (
	"fmt"
	"strings"
)

// Storage is what a storage.conf(5) of ours says.
type Storage struct {
	Graph      string   // the directory of images and containers
	Run        string   // of what need not outlive a boot
	Additional []string // image stores that are read only
}

// Conf is the file's text. by is the program that writes it.
func (s Storage) Conf(by string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# made by %s\n[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n", by, s.Graph, s.Run)
	fmt.Fprintf(&b, "# Rootless Podman takes its directory from here and its runroot from XDG_RUNTIME_DIR.\n"+
		"rootless_storage_path = %q\n", s.Graph)
	if len(s.Additional) > 0 {
		quoted := make([]string, len(s.Additional))
		for i, dir := range s.Additional {
			quoted[i] = fmt.Sprintf("%q", dir)
		}
		fmt.Fprintf(&b, "\n[storage.options]\nadditionalimagestores = [%s]\n", strings.Join(quoted, ", "))
	}
	return []byte(b.String())
}
