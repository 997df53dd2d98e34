package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hub/check"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// checkConfig wires the check to this host. done ends what it has opened.
func (a *app) checkConfig(user ident.User) (cfg check.Config, done func()) {
	cfg = check.Config{Host: check.NewHost(), LoadSettings: a.load, LoadPolicy: a.loadPolicy, Keeper: a.keeper(),
		User:     user,
		GPUs:     func() gpu.Inventory { return gpu.Read(gpu.DefaultDirs()...) },
		GPUState: func() (gpu.State, error) { return gpu.ReadState(gpu.StateFile) }}
	client, err := launcherbus.New(launcherbus.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		cfg.LauncherError = err
		return cfg, func() {}
	}
	cfg.Launcher = client
	return cfg, client.Close
}

// loadPolicy reads the launcher's policy, which lies beside the hub's settings.
func (a *app) loadPolicy() (*policy.Policy, error) {
	file := policy.File
	if a.configFile != config.DefaultFile {
		file = filepath.Join(filepath.Dir(a.configFile), "launcher.toml")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, &config.Unreadable{File: file, Err: err}
	}
	return policy.Parse(file, data)
}
