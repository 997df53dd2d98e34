// Package services is the hub's services at run time: those of the settings and those added through the API. A service
// is a program that somebody else runs, such as a culler or a page of the lab. The hub knows its token, signs people in
// for it and proxies it below /services/NAME/. It must never start a process.
package services

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Why a service cannot be removed.
var (
	ErrUnknown  = errors.New("the service does not exist")
	ErrDeclared = errors.New("the service is declared in the settings")
)

// Service is one service.
type Service struct {
	Name  string `json:"-"`
	Admin bool   `json:"admin,omitempty"`
	// where it listens: http://127.0.0.1:PORT or unix:/PATH; "" for one without pages
	URL           string         `json:"url,omitempty"`
	Prefix        string         `json:"-"` // where people find it, "/services/NAME/"; "" without URL
	Display       bool           `json:"display,omitempty"`
	Info          map[string]any `json:"info,omitempty"`
	TokenHash     string         `json:"token_hash,omitempty"` // ident.HashToken of its API token; "" for none
	Scopes        []string       `json:"scopes,omitempty"`     // what the token may do, beside roles
	ClientID      string         `json:"client_id,omitempty"`  // of its OAuth client; "" for none
	RedirectURI   string         `json:"redirect_uri,omitempty"`
	AllowedScopes []string       `json:"allowed_scopes,omitempty"` // what its OAuth client may ask people for
	NoConfirm     bool           `json:"no_confirm,omitempty"`
	Unit          string         `json:"unit,omitempty"` // the systemd unit that runs it, for messages
	Declared      bool           `json:"-"`              // in the settings
}

// records saves the services that were added through the API.
type records interface {
	SaveService(ctx context.Context, v store.ServiceRecord) error
	ServiceRecords(ctx context.Context) ([]store.ServiceRecord, error)
	ForgetService(ctx context.Context, name string) error
}

// Config is what a Registry needs.
type Config struct {
	BaseURL  string    // "/" or "/x/"
	Declared []Service // of the settings
	Records  records
	Limits   Limits // for services that are added through the API
	// Removed is called for a service that was removed through the API, to end its open connections. Optional.
	Removed func(name string)
}

// Registry is all services. It is safe for concurrent use.
type Registry struct {
	base    string
	records records
	removed func(name string)
	limits  Limits

	mu  sync.RWMutex // guards all
	all map[string]Service
}

// New makes a Registry of the settings' services and those added before. A service of the settings replaces one of the
// same name that was added through the API.
func New(ctx context.Context, c Config) (*Registry, error) {
	r := &Registry{base: c.BaseURL, records: c.Records, removed: c.Removed, limits: c.Limits, all: map[string]Service{}}
	saved, err := c.Records.ServiceRecords(ctx)
	if err != nil {
		return nil, err
	}
	for _, rec := range saved {
		s := Service{}
		if err := json.Unmarshal(rec.Record, &s); err != nil {
			return nil, fmt.Errorf("service %q of the database: %w", rec.Name, err)
		}
		s.Name = rec.Name
		r.put(s)
	}
	for _, s := range c.Declared {
		s.Declared = true
		if err := check(&s); err != nil {
			return nil, err
		}
		r.put(s)
	}
	return r, nil
}

func (r *Registry) put(s Service) {
	if s.URL != "" {
		s.Prefix = r.base + "services/" + s.Name + "/"
	}
	if s.ClientID != "" && s.RedirectURI == "" {
		s.RedirectURI = r.base + "services/" + s.Name + "/oauth_callback"
	}
	r.all[s.Name] = s
}

// namePattern keeps a name harmless in a path, a scope and a log.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// CheckName refuses an invalid service name.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("cannot use service name %.70q: use 1 to 63 letters, digits and \"_.-\", beginning with a "+
			"letter or digit", name)
	}
	return nil
}

// check refuses an invalid service, and sets its default OAuth client.
func check(s *Service) error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	if s.RedirectURI != "" && s.ClientID == "" {
		s.ClientID = "service-" + s.Name
	}
	if strings.HasPrefix(s.ClientID, "jupyterhub-user-") {
		return fmt.Errorf("service %q: the OAuth client id %q is a server's", s.Name, s.ClientID)
	}
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		return fmt.Errorf("service %q: cannot read its url: %w", s.Name, err)
	case u.Scheme == "unix" && strings.HasPrefix(u.Path, "/"):
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && (u.Path == "" || u.Path == "/"):
	default:
		return fmt.Errorf("service %q: its url must be http://HOST:PORT, https://HOST:PORT or unix:/PATH, not %q",
			s.Name, s.URL)
	}
	return nil
}

// List returns all services in order.
func (r *Registry) List() []Service {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Service, 0, len(r.all))
	for _, s := range r.all {
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y Service) int { return strings.Compare(x.Name, y.Name) })
	return all
}

// Get returns a service by its name.
func (r *Registry) Get(name string) (Service, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.all[name]
	return s, ok
}

// ByToken returns the service with that API token.
func (r *Registry) ByToken(token string) (name string, ok bool) {
	hash := []byte(ident.HashToken(token))
	for _, s := range r.List() {
		if s.TokenHash != "" && subtle.ConstantTimeCompare(hash, []byte(s.TokenHash)) == 1 {
			return s.Name, true
		}
	}
	return "", false
}

// Client returns the service with that OAuth client.
func (r *Registry) Client(clientID string) (Service, bool) {
	for _, s := range r.List() {
		if clientID != "" && s.ClientID == clientID {
			return s, true
		}
	}
	return Service{}, false
}

// InvalidError says why a service cannot be added.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }

func (e *InvalidError) Unwrap() error { return e.Err }

// Add adds a service and saves it over a restart. It fails with an *InvalidError for an invalid service, and with
// store.ErrExists when the name is taken.
func (r *Registry) Add(s Service) error {
	if err := check(&s); err != nil {
		return &InvalidError{err}
	}
	if err := r.limits.CheckURL(s.URL); err != nil {
		return &InvalidError{fmt.Errorf("service %q: %w", s.Name, err)}
	}
	record, err := json.Marshal(s)
	if err != nil {
		return &InvalidError{fmt.Errorf("service %q: %w", s.Name, err)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.all[s.Name]; taken {
		return fmt.Errorf("service %q: %w", s.Name, store.ErrExists)
	}
	for _, other := range r.all {
		if s.ClientID != "" && other.ClientID == s.ClientID {
			return &InvalidError{fmt.Errorf("the OAuth client id %q is service %q's", s.ClientID, other.Name)}
		}
	}
	if err := r.records.SaveService(context.Background(), store.ServiceRecord{Name: s.Name,
		Record: record}); err != nil {
		return err
	}
	r.put(s)
	return nil
}

// Remove deletes a service that was added through the API. Errors: ErrUnknown, ErrDeclared.
func (r *Registry) Remove(name string) error {
	err := r.forget(name)
	if err == nil && r.removed != nil {
		r.removed(name)
	}
	return err
}

func (r *Registry) forget(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.all[name]
	switch {
	case !ok:
		return ErrUnknown
	case s.Declared:
		return ErrDeclared
	}
	if err := r.records.ForgetService(context.Background(), name); err != nil {
		return err
	}
	delete(r.all, name)
	return nil
}
