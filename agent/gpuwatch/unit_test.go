package gpuwatch

import (
	"os"
	"strings"
	"testing"
)

// TestUnit checks that the unit allows what the daemon needs. Settings that take devices or the view of processes away
// would fail only on hosts with GPUs.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../../units/gifford-gpus.service")
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			set[key] = value
		}
	}
	// ProtectClock= implied DeviceAllow=, which closes all other devices, before systemd 252.7
	// (github.com/systemd/systemd/issues/18142).
	for _, key := range []string{"PrivateDevices", "DeviceAllow", "DevicePolicy", "ProtectClock", "PrivateUsers",
		"ProcSubset", "PrivatePIDs", "MemoryDenyWriteExecute"} {
		if value, ok := set[key]; ok {
			t.Errorf("%s=%s", key, value)
		}
	}
	for key, want := range map[string]string{"User": "gifford-gpus", "ProtectProc": "default", "NoNewPrivileges": "yes",
		"CapabilityBoundingSet": "", "RuntimeDirectory": "gifford-gpus"} {
		if value, ok := set[key]; !ok || value != want {
			t.Errorf("%s=%s, want %q", key, value, want)
		}
	}
}
