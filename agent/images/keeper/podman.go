package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containers/podman/v4/pkg/bindings/images"
	"github.com/sirupsen/logrus"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	podmanStarts = 30 * time.Second // until its API answers
	callBound    = 5 * time.Minute  // of what is quick; while a layer is unpacked Podman locks the store
	endGrace     = 3 * time.Second  // for a service to remove its temporary files
	// compatVersion is the version of Docker's API whose pull reports each layer.
	compatVersion = "v1.41"
	// podmanVersion is the version of Podman's own API that Podman 4.3 to 5 speak.
	podmanVersion = "v4.0.0"
	maxReport     = 1 << 20 // bytes of an answer to an archive
	readLog       = "journalctl -u gifford-images"
)

// PodmanConfig is what a Podman needs. All fields are required.
type PodmanConfig struct {
	// RunDir has its sockets and settings, StateDir the store and the temporary files. Both are the image keeper's.
	RunDir, StateDir string
	Auth             string    // credentials for registries, containers-auth.json(5); may be missing
	Stderr           io.Writer // of Podman's processes
	Log              *slog.Logger
}

// Podman is the image keeper's own Podman: API services as its children. One answers what is quick, and is started when
// it is first needed. Each pull and each archive has one of its own, so that its end is the end of all that it does,
// and of nothing else.
type Podman struct {
	cfg     PodmanConfig
	program string

	count atomic.Int64 // of services that were started

	mu     sync.Mutex // guards shared
	shared *service   // nil until it is needed
}

// NewPodman prepares the directories of a Podman that is not started yet. It removes the temporary files that a keeper
// has left which was killed: no Podman of the keeper's may run.
func NewPodman(cfg PodmanConfig) (*Podman, error) {
	logrus.SetOutput(io.Discard) // the bindings' own log; errors come back
	p := &Podman{cfg: cfg, program: contract.Podman}
	for _, dir := range []string{p.tmp(), filepath.Join(cfg.RunDir, "containers")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the image keeper's directory: %w", err)
		}
	}
	if err := empty(p.tmp()); err != nil {
		cfg.Log.Warn("cannot remove temporary files", "event", "temporary-files-left", "error", err)
	}
	storage := contract.Storage{Graph: filepath.Join(cfg.StateDir, "storage"),
		Run: filepath.Join(cfg.RunDir, "storage")}
	if err := os.WriteFile(p.storageConf(), storage.Conf("gifford-images"), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the image keeper's storage.conf: %w", err)
	}
	return p, p.credentials()
}

func (p *Podman) tmp() string         { return filepath.Join(p.cfg.StateDir, "tmp") }
func (p *Podman) storageConf() string { return filepath.Join(p.cfg.RunDir, "storage.conf") }

// credentials puts the credentials for registries where Podman looks for them.
func (p *Podman) credentials() error {
	data, err := os.ReadFile(p.cfg.Auth)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot read the credentials for registries: %w", err)
	}
	if !json.Valid(data) {
		return hint.New("the credentials for registries are no JSON",
			"write /etc/gifford-hub/registry-auth.json with \"podman login --authfile\"")
	}
	return os.WriteFile(filepath.Join(p.cfg.RunDir, "containers", "auth.json"), data, 0o600)
}

// call asks the shared service. One that has not answered by ctx's deadline, or within callBound, is ended, and the
// next call starts another.
func (p *Podman) call(ctx context.Context, ask func(conn context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	s, err := p.sharedService(ctx)
	if err != nil {
		return err
	}
	err = ask(s.with(ctx))
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p.drop(s)
		return hint.With(fmt.Errorf("podman's API service does not answer: %w", ctx.Err()), readLog)
	}
	return err
}

// sharedService returns the service for what is quick, and starts it if it does not run.
func (p *Podman) sharedService(ctx context.Context) (*service, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared != nil && !p.shared.over() {
		return p.shared, nil
	}
	s, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	p.shared = s
	return s, nil
}

func (p *Podman) drop(s *service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared == s {
		p.shared = nil
	}
	s.end(0)
}

// transfer runs a pull or an archive's way in with a service of its own, which has ended when transfer returns, with
// its temporary files: when ctx ends, whatever the service is at.
func (p *Podman) transfer(ctx context.Context, work func(*service) error) error {
	// The first service holds the user namespace that the others enter.
	if _, err := p.sharedService(ctx); err != nil {
		return err
	}
	s, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer s.end(endGrace)
	return work(s)
}

// Close ends the shared service. No transfer may be under way.
func (p *Podman) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared != nil {
		p.shared.end(endGrace)
	}
}

// layerStep is one step of a pull, as Docker's API streams it.
type layerStep struct {
	Layer          string // beginning of the layer's digest; "" for the image as a whole
	Status         string
	Current, Total int64 // bytes
	// Unpacking says that a layer which has come is being written to the store, of which Podman's stream says nothing.
	// Such a step has nothing else, and may come from another goroutine.
	Unpacking bool
}

// pull asks the registry for an image.
func (p *Podman) pull(ctx context.Context, name string, each func(layerStep)) error {
	return p.transfer(ctx, func(s *service) error {
		defer s.watchUnpacking(func() { each(layerStep{Unpacking: true}) })()
		resp, err := s.post(ctx, "/"+compatVersion+"/images/create?fromImage="+url.QueryEscape(name), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return readPull(resp, each)
	})
}

// readPull reads the stream of a pull. An error may come in an answer of status 200.
func readPull(resp *http.Response, each func(layerStep)) error {
	for dec := json.NewDecoder(resp.Body); ; {
		var line struct {
			ID             string `json:"id"`
			Status         string `json:"status"`
			ProgressDetail struct {
				Current int64 `json:"current"`
				Total   int64 `json:"total"`
			} `json:"progressDetail"`
			Error   string `json:"error"`
			Message string `json:"message"` // of an answer that is no stream
		}
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF) && resp.StatusCode < 400:
			return nil
		case err != nil:
			return fmt.Errorf("podman broke off while it was pulling: %w", err)
		case line.Error != "":
			return errors.New(line.Error)
		case line.Message != "" && resp.StatusCode >= 400:
			return errors.New(line.Message)
		}
		each(layerStep{Layer: line.ID, Status: line.Status, Current: line.ProgressDetail.Current,
			Total: line.ProgressDetail.Total})
	}
}

// load reads a docker-archive or oci-archive of one image, which has no name in it, and returns the image's ID.
func (p *Podman) load(ctx context.Context, archive io.Reader) (string, error) {
	var report struct{ Names []string }
	if err := p.send(ctx, "/images/load", archive, &report); err != nil {
		return "", err
	}
	if len(report.Names) != 1 {
		return "", fmt.Errorf("podman has loaded %d images of one", len(report.Names))
	}
	return loadedID(report.Names[0])
}

// importRoot makes an image of a root file system and returns its ID.
func (p *Podman) importRoot(ctx context.Context, archive io.Reader) (string, error) {
	var report struct{ ID string }
	if err := p.send(ctx, "/images/import", archive, &report); err != nil {
		return "", err
	}
	return loadedID(report.ID)
}

// loadedID returns the ID of an image that has no name, from what Podman calls it.
func loadedID(name string) (string, error) {
	id := strings.TrimPrefix(name, "sha256:")
	if !imagestore.IsID(id) {
		return "", fmt.Errorf("podman has loaded an image without a name as %.100q", name)
	}
	return id, nil
}

// send sends an archive once and decodes the answer. Podman's bindings would try again after an error, with the rest of
// the archive.
func (p *Podman) send(ctx context.Context, path string, archive io.Reader, into any) error {
	return p.transfer(ctx, func(s *service) error {
		resp, err := s.post(ctx, "/"+podmanVersion+"/libpod"+path, archive)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return readReport(resp, into)
	})
}

// readReport reads the answer to an archive.
func readReport(resp *http.Response, into any) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReport))
	if err != nil {
		return fmt.Errorf("podman broke off while it was answering: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var failure struct{ Message string }
		if json.Unmarshal(text, &failure) != nil || failure.Message == "" {
			return fmt.Errorf("podman answered %s and no reason", resp.Status)
		}
		return errors.New(failure.Message)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot understand podman's answer: %w", err)
	}
	return nil
}

// summary is an image as Podman lists it.
type summary struct {
	id, digest string
	names      []string
	size       int64
	created    time.Time
}

func (p *Podman) list(ctx context.Context) (all []summary, err error) {
	err = p.call(ctx, func(conn context.Context) error {
		found, err := images.List(conn, nil)
		for _, i := range found {
			all = append(all, summary{id: i.ID, digest: i.Digest, names: i.Names, size: i.Size,
				created: time.Unix(i.Created, 0).UTC()})
		}
		return err
	})
	return all, err
}

// config is what an image would run.
type config struct {
	user    string
	command []string
	labels  map[string]string
}

func (p *Podman) inspect(ctx context.Context, id string) (c config, err error) {
	err = p.call(ctx, func(conn context.Context) error {
		report, err := images.GetImage(conn, id, nil)
		if err == nil && report.ImageData != nil && report.Config != nil {
			c = config{report.User, append(report.Config.Entrypoint, report.Config.Cmd...), report.Labels}
		}
		return err
	})
	return c, err
}

func (p *Podman) tag(ctx context.Context, id, repository, tag string) error {
	return p.call(ctx, func(conn context.Context) error { return images.Tag(conn, id, tag, repository, nil) })
}

func (p *Podman) untag(ctx context.Context, id, repository, tag string) error {
	return p.call(ctx, func(conn context.Context) error { return images.Untag(conn, id, tag, repository, nil) })
}

// remove removes an image with all its names. There are no containers in this store.
func (p *Podman) remove(ctx context.Context, id string) error {
	return p.call(ctx, func(conn context.Context) error {
		_, errs := images.Remove(conn, []string{id}, new(images.RemoveOptions).WithForce(true))
		return errors.Join(errs...)
	})
}
