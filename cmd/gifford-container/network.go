package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attach puts pasta to the network namespace of the container whose process id is in a
// file. It replaces this process by pasta, which goes to the background once the network
// is there and ends with the unit.
func attach(pidfile string, port int) error {
	pid, err := readPID(pidfile)
	if err != nil {
		return err
	}
	if port < 1 || port > 65535 {
		return fmt.Errorf("cannot forward port %d", port)
	}
	pasta, err := exec.LookPath("pasta")
	if err != nil {
		return fmt.Errorf("cannot give the container a network: %w\nhint: apt install passt", err)
	}
	return fmt.Errorf("cannot run %s: %w", pasta, syscall.Exec(pasta, pastaArgs(pid, port), os.Environ()))
}

// pastaArgs forwards exactly one loopback port of the host into the container and none
// out of it. Without --no-map-gw the gateway's address would reach every loopback port of
// the host (pasta(1)).
func pastaArgs(pid, port int) []string {
	return []string{"pasta", "--quiet", "--config-net", "--no-map-gw", "-t", "none", "-u", "none", "-U", "none",
		"-T", strconv.Itoa(port), strconv.Itoa(pid)}
}

func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("cannot read the container's process id: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && pid <= 1 {
		err = errors.New("it is no container's")
	}
	if err != nil {
		return 0, fmt.Errorf("cannot use the process id in %s: %w", file, err)
	}
	return pid, nil
}
