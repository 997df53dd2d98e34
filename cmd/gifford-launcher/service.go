package main

import (
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
)

// ready notifies systemd, which delays the call that started the launcher until then.
func ready(servers int) {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady+fmt.Sprintf("\nSTATUS=answering on the system bus; found %d "+
		"Jupyter units at the start", servers))
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
