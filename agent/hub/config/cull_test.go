package config

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCull(t *testing.T) {
	src := write(t, map[string]string{"hub.toml": good, "hub.d/1.toml": `[cull]
enabled = true
max_age = "48h"
busy_cpu = 0
gpu_idle = "2h"
gpu_action = "stop"
gpu_busy = 1
[cull.group.staff]
idle = "8h"
max_age = "0s"
gpu_idle = "0s"
[cull.group."domain users"]
exempt = true
[cull.group.students]
`})
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	eight, never := 8*time.Hour, time.Duration(0)
	want := Cull{Enabled: true, Idle: time.Hour, MaxAge: 48 * time.Hour, Every: time.Minute, Notice: 10 * time.Minute,
		GPUIdle: 2 * time.Hour, GPUAction: "stop", BusyGPU: 1,
		Groups: map[string]CullGroup{"staff": {Idle: &eight, MaxAge: &never, GPUIdle: &never},
			"domain users": {Exempt: true}, "students": {}}}
	if diff := cmp.Diff(want, c.Cull); diff != "" {
		t.Errorf("cull (-want +got):\n%s", diff)
	}
	var shown bytes.Buffer
	if err := c.Show(&shown); err != nil {
		t.Fatal(err)
	}
	line := `group = { "domain users" = { exempt = true }, staff = { idle = "8h", max_age = "0s", ` +
		`gpu_idle = "0s" }, students = {} }`
	if !strings.Contains(shown.String(), line) {
		t.Errorf("the settings lack the line %s:\n%s", line, shown.String())
	}
}

func TestCullIsOff(t *testing.T) {
	c, err := Load(write(t, map[string]string{"hub.toml": good}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Cull{Idle: time.Hour, Every: time.Minute, Notice: 10 * time.Minute, BusyCPU: 5,
		GPUAction: "restart", BusyGPU: 5}, c.Cull); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}
