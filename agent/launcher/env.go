package launcher

import (
	"regexp"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
)

// Bounds on what the hub may hand over.
const (
	maxVariables = 64
	maxValue     = 8 << 10
)

// hubVariable is a name of JupyterHub's contract with its servers, and nothing else: no
// PATH, no LD_PRELOAD.
var hubVariable = regexp.MustCompile(`^(JUPYTERHUB_[A-Z0-9_]{1,64}|JPY_API_TOKEN)$`)

// servicePrefix is a URL path that a server can live under.
var servicePrefix = regexp.MustCompile(`^/([A-Za-z0-9._~-]+/)*$`)

// checkEnv refuses an environment that is not JupyterHub's, or that would not survive
// the lines of an env file.
func checkEnv(env map[string]string) error {
	if len(env) > maxVariables {
		return refuse(launcherbus.Refused, "the environment has %d variables, more than %d", len(env), maxVariables)
	}
	for name, value := range env {
		if !hubVariable.MatchString(name) {
			return refuse(launcherbus.Refused, "the hub may not set variable %.80q", name)
		}
		if len(value) > maxValue || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return refuse(launcherbus.Refused, "the value of variable %s is too long or holds control characters", name)
		}
	}
	if env["JUPYTERHUB_API_TOKEN"] == "" {
		return refuse(launcherbus.Refused, "the environment has no JUPYTERHUB_API_TOKEN")
	}
	if !servicePrefix.MatchString(env["JUPYTERHUB_SERVICE_PREFIX"]) {
		return refuse(launcherbus.Refused, "the environment's JUPYTERHUB_SERVICE_PREFIX is no URL path with slashes at both ends")
	}
	return nil
}
