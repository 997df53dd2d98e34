package hub

import (
	"log/slog"
	"os"

	"github.com/gifford-lab/gifford-hub/agent/hub/auditfile"
)

// audited returns a logger that also writes the audit file, in the directory that the unit has. A process that has
// taken over from a hub whose unit had none yet goes on without.
func audited(log *slog.Logger) (*slog.Logger, error) {
	directory := os.Getenv("LOGS_DIRECTORY") // systemd.exec(5), LogsDirectory=
	if directory == "" {
		if os.Getenv("INVOCATION_ID") != "" {
			log.Warn("there is no audit file, since the unit has no directory for it", "event", "audit-no-file", "hint",
				"systemctl restart gifford-hub")
		}
		return log, nil
	}
	both, err := auditfile.New(auditfile.Config{Journal: log.Handler(), Directory: directory})
	if err != nil {
		return nil, err
	}
	return slog.New(both), nil
}
