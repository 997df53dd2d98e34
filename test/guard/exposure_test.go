package guard

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// exposed is how much a unit may be exposed at most, as "systemd-analyze security" rates it from 0 to 10, and
// moreExposed the units that may be more; docs/security.md has the reason.
const exposed = 3.0

var moreExposed = map[string]float64{
	"gifford-detach@.service": 7.5,
	"gifford-images.service":  7.5,
	"gifford-unview@.service": 7.5,
	"gifford-view@.service":   7.5,
}

// TestExposure checks that no unit is more exposed than that. It needs systemd 250 and reads files alone.
func TestExposure(t *testing.T) {
	version, err := exec.Command("systemd-analyze", "--version").Output()
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	if n := regexp.MustCompile(`^systemd (\d+)`).FindSubmatch(version); n == nil || string(n[1]) < "250" {
		t.Skipf("systemd-analyze reads no files before systemd 250: %s", version)
	}
	units, err := filepath.Glob("../../units/gifford-*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("no units: %v", err)
	}
	for _, file := range units {
		name := filepath.Base(file)
		most := max(exposed, moreExposed[name])
		rated, err := rating(t, file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if rated > most {
			t.Errorf("%s has an exposure of %.1f, at most %.1f", name, rated, most)
		}
	}
}

var overall = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

func rating(t *testing.T, file string) (float64, error) {
	t.Helper()
	file, err := filepath.Abs(file)
	if err != nil {
		return 0, err
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", file).CombinedOutput()
	m := overall.FindStringSubmatch(string(out))
	if m == nil {
		return 0, fmt.Errorf("systemd-analyze: %v: %s", err, strings.TrimSpace(string(out)))
	}
	return strconv.ParseFloat(m[1], 64)
}
