package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// The data of the pages.
type (
	signInPage struct{ Next, Problem string }
	homePage   struct {
		Own             serverView
		Profiles        []launcherbus.Profile
		ProfilesProblem string
		All             []serverView // for administrators
		Next            string
	}
	spawnPage struct {
		Server          serverView
		Profiles        []launcherbus.Profile
		ProfilesProblem string
		Next            string
	}
	pendingPage struct {
		Server       serverView
		Next, Events string
		Stopping     bool
	}
	errorPage struct {
		Status               int
		Words, Hint, Request string
		Denied               bool
	}
	confirmPage struct{ Owner, Server, Action string }
)

// serverView is a server as pages show it.
type serverView struct {
	User, State, Profile, URL, Unit string
	Since, Activity                 time.Time
	Own, Active, Ready, Pending     bool
	Failure                         *servers.Failure
	Reason, Hint                    string // of the failure
}

func (w *Web) view(s servers.Server, m login.Member) serverView {
	v := serverView{User: s.Key.User.String(), State: string(s.State), Profile: s.Profile, URL: w.server(s.Key), Unit: s.Key.Unit(),
		Since: s.Since, Activity: s.LastActivity, Own: s.Key.User == m.User, Active: s.State.Active(), Ready: s.State == servers.Ready,
		Pending: s.State.Pending(), Failure: s.Failure}
	if s.Failure != nil {
		v.Reason, v.Hint, _ = strings.Cut(s.Failure.Message, "\nhint: ")
	}
	return v
}

// frame is what the layout shows around every page.
type frame struct {
	Base, Title string
	Member      *login.Member // nil when nobody is signed in
	Provider    string
	Page        any
}

func (w *Web) render(rw http.ResponseWriter, status int, name, title string, m login.Member, page any) error {
	f := frame{Base: w.cfg.BaseURL, Title: title, Provider: w.cfg.ProviderName, Page: page}
	if !m.User.IsZero() {
		f.Member = &m
	}
	t, err := w.templates.Clone()
	if err != nil {
		return err
	}
	if _, err := t.ParseFS(templateFiles, "templates/"+name+".html"); err != nil {
		return err
	}
	var body bytes.Buffer // whole before the status is sent, so that a failure is a failure
	if err := t.ExecuteTemplate(&body, "layout", f); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = rw.Write(body.Bytes()) // an error means that the browser is gone
	return nil
}

// functions are what templates call.
func (w *Web) functions() template.FuncMap {
	return template.FuncMap{
		"asset": w.assets.url,
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock": func(t time.Time) string { return t.Local().Format("2 Jan 15:04 MST") },
		"ago":   func(t time.Time) string { return ago(time.Since(t)) },
	}
}

// ago gives a time span in the words that people use.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

func parseTemplates(functions template.FuncMap) (*template.Template, error) {
	return template.New("").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
}

// assets are the static files with a hash of their content in their addresses, so that
// browsers keep them for ever and still get new ones.
type assets struct {
	base   string
	hashes map[string]string
}

func loadAssets(base string) (assets, error) {
	a := assets{base, map[string]string{}}
	err := fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := staticFiles.ReadFile(name)
		sum := sha256.Sum256(content)
		a.hashes[path.Base(name)] = hex.EncodeToString(sum[:6])
		return err
	})
	return a, err
}

func (a assets) url(name string) (string, error) {
	hash, ok := a.hashes[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return a.base + name + "?v=" + hash, nil
}

func (w *Web) static(rw http.ResponseWriter, r *http.Request, _ login.Member) error {
	return w.file(rw, r.PathValue("file"), r.URL.Query().Get("v") != "")
}

func (w *Web) logo(rw http.ResponseWriter, _ *http.Request, _ login.Member) error {
	return w.file(rw, "logo.svg", false)
}

func (w *Web) file(rw http.ResponseWriter, name string, forever bool) error {
	content, err := staticFiles.ReadFile("static/" + path.Base(name))
	if err != nil {
		return notFoundError()
	}
	rw.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	rw.Header().Set("Cache-Control", "public, max-age=3600")
	if forever {
		rw.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = rw.Write(content) // an error means that the browser is gone
	return nil
}
