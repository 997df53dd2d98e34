// Package e2e tests the installed package on a real systemd host with real rootless
// Podman, a real OpenID provider, the real jupyterhub-singleuser and a real browser.
// The tests have the build tag "e2e" and are run by test/e2e/run, which boots the host.
package e2e
