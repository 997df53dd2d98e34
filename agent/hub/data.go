package hub

import (
	"context"
	"path/filepath"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/tlscert"
)

// data is the database, the counters and the certificate.
type data struct {
	store   *store.Store
	metrics *metrics.Metrics
	cert    *tlscert.Loader // nil without TLS
}

// openData opens the database and the certificate.
func openData(ctx context.Context, g given) (d data, err error) {
	if g.cfg.State.Directory == "" {
		return data{}, hint.New("there is no directory for the hub's state",
			"systemctl start gifford-hub, or set state.directory")
	}
	if d.cert, err = openCertificate(ctx, g); err != nil {
		return data{}, err
	}
	d.metrics, err = metrics.New(metrics.Config{Version: g.version, JupyterHubVersion: jupyterHubVersion, Log: g.log})
	if err != nil {
		return data{}, err
	}
	d.store, err = store.Open(ctx, store.Config{Path: database(g.cfg), Log: g.log})
	return d, err
}

// database is the file of the hub's database.
func database(c *config.Config) string { return filepath.Join(c.State.Directory, "hub.sqlite") }

// openCertificate returns nil when the settings name no certificate.
func openCertificate(ctx context.Context, g given) (*tlscert.Loader, error) {
	c := g.cfg.TLS
	if c.Certificate == "" {
		return nil, nil
	}
	return tlscert.Open(ctx, tlscert.Config{Certificate: c.Certificate, Key: c.Key, Log: g.log})
}

func (d data) close() { _ = d.store.Close() }
