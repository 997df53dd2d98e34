package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containers/podman/v4/pkg/bindings"
	"github.com/containers/podman/v4/pkg/bindings/images"
	"github.com/sirupsen/logrus"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	podmanProgram = contract.Podman
	podmanStarts  = 30 * time.Second // until its API answers
	// compatVersion is the version of Docker's API whose pull reports each layer.
	compatVersion = "v1.41"
	// podmanVersion is the version of Podman's own API that Podman 4.3 to 5 speak.
	podmanVersion = "v4.0.0"
	maxReport     = 1 << 20 // bytes of an answer to an archive
	readLog       = "journalctl -u gifford-images"
)

// Podman is the image keeper's own Podman: a "podman system service" as its child, started when
// it is first needed.
type Podman struct {
	runDir, stateDir string
	auth             string // credentials for registries, containers-auth.json(5); may be missing
	stderr           io.Writer

	mu   sync.Mutex // guards all below
	conn context.Context
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// NewPodman prepares the directories of a Podman that is not started yet.
func NewPodman(runDir, stateDir, auth string, stderr io.Writer) (*Podman, error) {
	logrus.SetOutput(io.Discard) // the bindings' own log; errors come back
	p := &Podman{runDir: runDir, stateDir: stateDir, auth: auth, stderr: stderr}
	for _, dir := range []string{p.tmp(), filepath.Join(runDir, "containers")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the image keeper's directory: %w", err)
		}
	}
	storage := contract.Storage{Graph: filepath.Join(stateDir, "storage"), Run: filepath.Join(runDir, "storage")}
	if err := os.WriteFile(p.storageConf(), storage.Conf("gifford-images"), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the image keeper's storage.conf: %w", err)
	}
	return p, p.credentials()
}

func (p *Podman) tmp() string         { return filepath.Join(p.stateDir, "tmp") }
func (p *Podman) storageConf() string { return filepath.Join(p.runDir, "storage.conf") }
func (p *Podman) socket() string      { return filepath.Join(p.runDir, "podman.sock") }

// credentials puts the credentials for registries where Podman looks for them.
func (p *Podman) credentials() error {
	data, err := os.ReadFile(p.auth)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot read the credentials for registries: %w", err)
	}
	if !json.Valid(data) {
		return hint.New("the credentials for registries are no JSON",
			"write /etc/gifford-hub/registry-auth.json with \"podman login --authfile\"")
	}
	return os.WriteFile(filepath.Join(p.runDir, "containers", "auth.json"), data, 0o600)
}

// connection returns a context for the bindings, and starts the service if none runs. The
// connection outlives the request that needed it first.
func (p *Podman) connection(ctx context.Context) (context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		select {
		case <-p.gone:
		default:
			return p.with(ctx), nil
		}
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	return p.with(ctx), nil
}

// with returns the bindings' connection with the life of ctx.
func (p *Podman) with(ctx context.Context) context.Context { return both{p.conn, ctx} }

// both has the values of a connection and the end of a request.
type both struct {
	values context.Context
	context.Context
}

func (b both) Value(key any) any { return b.values.Value(key) }

// start starts the service and waits until it answers.
func (p *Podman) start() error {
	_ = os.Remove(p.socket())
	cmd := exec.Command(podmanProgram, "--cgroup-manager=cgroupfs", "--events-backend=file", "system", "service",
		"--time=0", "unix://"+p.socket())
	cmd.Env = []string{"HOME=" + p.stateDir, "XDG_RUNTIME_DIR=" + p.runDir,
		"CONTAINERS_STORAGE_CONF=" + p.storageConf(), "TMPDIR=" + p.tmp(),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null"}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.stateDir, p.stderr, p.stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start podman's API service: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), podmanStarts)
	defer cancel()
	for {
		conn, err := bindings.NewConnection(ctx, "unix://"+p.socket())
		if err == nil {
			p.conn, p.cmd, p.gone = context.WithoutCancel(conn), cmd, gone
			return nil
		}
		select {
		case <-gone:
			return hint.New("podman's API service ended at once", readLog)
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return hint.With(fmt.Errorf("podman's API service does not answer: %w", err), readLog)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close ends the service.
func (p *Podman) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// layerStep is one step of a pull, as Docker's API streams it.
type layerStep struct {
	Layer          string // beginning of the layer's digest; "" for the image as a whole
	Status         string
	Current, Total int64 // bytes
}

// pull asks the registry for an image.
func (p *Podman) pull(ctx context.Context, name string, each func(layerStep)) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	client, err := bindings.GetClient(conn)
	if err != nil {
		return err
	}
	to := "http://d/" + compatVersion + "/images/create?fromImage=" + url.QueryEscape(name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, nil)
	if err != nil {
		return err
	}
	resp, err := client.Client.Do(req)
	if err != nil {
		return fmt.Errorf("podman's API service: %w", err)
	}
	defer resp.Body.Close()
	return readPull(resp, each)
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
		each(layerStep{line.ID, line.Status, line.ProgressDetail.Current, line.ProgressDetail.Total})
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
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	client, err := bindings.GetClient(conn)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://d/"+podmanVersion+"/libpod"+path, archive)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := client.Client.Do(req)
	if err != nil {
		return fmt.Errorf("podman's API service: %w", err)
	}
	defer resp.Body.Close()
	return readReport(resp, into)
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

func (p *Podman) list(ctx context.Context) ([]summary, error) {
	conn, err := p.connection(ctx)
	if err != nil {
		return nil, err
	}
	found, err := images.List(conn, nil)
	if err != nil {
		return nil, err
	}
	var all []summary
	for _, i := range found {
		all = append(all, summary{id: i.ID, digest: i.Digest, names: i.Names, size: i.Size,
			created: time.Unix(i.Created, 0).UTC()})
	}
	return all, nil
}

// config is what an image would run.
type config struct {
	user    string
	command []string
	labels  map[string]string
}

func (p *Podman) inspect(ctx context.Context, id string) (config, error) {
	conn, err := p.connection(ctx)
	if err != nil {
		return config{}, err
	}
	report, err := images.GetImage(conn, id, nil)
	if err != nil || report.ImageData == nil || report.Config == nil {
		return config{}, err
	}
	return config{report.User, append(report.Config.Entrypoint, report.Config.Cmd...), report.Labels}, nil
}

func (p *Podman) tag(ctx context.Context, id, repository, tag string) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	return images.Tag(conn, id, tag, repository, nil)
}

func (p *Podman) untag(ctx context.Context, id, repository, tag string) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	return images.Untag(conn, id, tag, repository, nil)
}

// remove removes an image with all its names. There are no containers in this store.
func (p *Podman) remove(ctx context.Context, id string) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	_, errs := images.Remove(conn, []string{id}, new(images.RemoveOptions).WithForce(true))
	return errors.Join(errs...)
}
