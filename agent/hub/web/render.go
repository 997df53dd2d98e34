package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

//go:embed templates/*.html static
var files embed.FS

// page is the input of the layout.
type page struct {
	Name    string         // of the template of its content
	Title   string         // of the window
	Member  access.Subject // who asks; zero: nobody, or unknown
	Wide    bool           // has a table
	Refresh int            // seconds after which a browser loads the page again; 0: never
	NoJS    bool           // Refresh is for browsers without JavaScript only
	SignIn  bool           // has a form that leads to the provider
	FormTo  []string       // other origins to which the answers of its forms redirect
	Body    any            // for the page's own template
}

// frame is a page with what all pages have in common.
type frame struct {
	page
	Announcement string
	Contact      string
	Provider     string
}

// parsePages makes one template of the layout and each page.
func (s *Web) parsePages() (map[string]*template.Template, error) {
	layout, err := template.New("layout.html").Funcs(template.FuncMap{
		"hub":     func(parts ...string) string { return s.hub + strings.Join(parts, "") },
		"static":  s.staticURL,
		"contact": contactLink,
		"clean":   printable.Text,
		"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock":   func(t time.Time) string { return clock(t, s.cfg.Now()) },
		"date":    func(t time.Time) string { return t.Local().Format("2 January 2006, 15:04") },
		"age":     func(t time.Time) string { return age(s.cfg.Now().Sub(t)) },
	}).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("cannot read the pages' layout: %w", err)
	}
	entries, err := files.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t, err := template.Must(layout.Clone()).ParseFS(files, path.Join("templates", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot read page %q: %w", name, err)
		}
		pages[name] = t
	}
	return pages, nil
}

// render writes a page. It sets the headers of a page even where another surface has set its own, such as the API
// around the OAuth pages.
func (s *Web) render(w http.ResponseWriter, r *http.Request, status int, p page) {
	var body bytes.Buffer
	f := frame{p, s.cfg.Announcement, s.cfg.Contact, s.cfg.ProviderName}
	if err := s.pages[p.Name].ExecuteTemplate(&body, "layout.html", f); err != nil {
		httpx.LogFailure(s.cfg.Log, r, fmt.Errorf("page %q: %w", p.Name, err))
		httpx.Words(w, "the hub cannot show this page (request "+httpx.RequestID(r)+")",
			http.StatusInternalServerError)
		return
	}
	content := body.Bytes()
	if p.Member.SessionID != "" {
		content = withToken(content, s.cfg.Tokens.Of(p.Member.SessionID))
	}
	h := w.Header()
	s.setHeaders(h)
	h.Set("Content-Security-Policy", s.policy(!p.SignIn, p.FormTo...))
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(content) // an error means that the client is gone
}
