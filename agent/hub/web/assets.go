package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
)

// asset is a file that browsers may cache.
type asset struct {
	name    string
	content []byte
	version string // hash of the content
}

// loadAssets reads the files below static and makes their versions.
func loadAssets() (map[string]asset, error) {
	entries, err := files.ReadDir("static")
	if err != nil {
		return nil, err
	}
	all := map[string]asset{}
	for _, e := range entries {
		content, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		all[e.Name()] = asset{e.Name(), content, hex.EncodeToString(sum[:6])}
	}
	return all, nil
}

// staticURL is the URL of a file, which changes with its content.
func (s *Web) staticURL(name string) (string, error) {
	a, ok := s.assets[name]
	if !ok {
		return "", fmt.Errorf("there is no static file %q", name)
	}
	return s.hub + "static/" + name + "?v=" + a.version, nil
}

// static serves a file. Browsers may cache it for ever under its version, else they must ask each time.
func (s *Web) static(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.file(w, r, r.PathValue("file"))
}

// logo serves the hub's logo.
func (s *Web) logo(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.file(w, r, "logo.svg")
}

func (s *Web) file(w http.ResponseWriter, r *http.Request, name string) error {
	a, ok := s.assets[name]
	if !ok {
		return errNotFound()
	}
	cache := "no-cache"
	if r.URL.Query().Get("v") == a.version {
		cache = "public, max-age=31536000, immutable"
	}
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("ETag", `"`+a.version+`"`)
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.content))
	return nil
}
