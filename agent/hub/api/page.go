package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// Bounds of a page (JupyterHub's api_page_default_limit and api_page_max_limit).
const (
	defaultLimit = 50
	maxLimit     = 200
)

// paginated is the Accept value of clients that follow pages.
const paginated = "application/jupyterhub-pagination+json"

// window is the part of a list that a request asks for.
type window struct {
	offset, limit int
	wrap          bool // the client follows pages
}

// pageOf reads offset and limit (apihandlers/base.py: get_api_pagination). Clients that
// do not follow pages get as many items at once as there may be.
func pageOf(r *http.Request) (window, error) {
	p := window{limit: maxLimit, wrap: strings.Contains(r.Header.Get("Accept"), paginated)}
	if p.wrap {
		p.limit = defaultLimit
	}
	q := r.URL.Query()
	for name, to := range map[string]*int{"offset": &p.offset, "limit": &p.limit} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.Atoi(q.Get(name))
		if err != nil {
			return p, httpx.Fail(http.StatusBadRequest, "Invalid argument type, offset and limit must be integers")
		}
		*to = max(n, -n)
	}
	p.limit = min(max(p.limit, 1), maxLimit)
	p.offset = max(p.offset, 0)
	return p, nil
}

// cut returns the window of a list that is there as a whole.
func cut[T any](p window, all []T) []T {
	from := min(p.offset, len(all))
	return all[from:min(from+p.limit, len(all))]
}

// nextPage is where the next page is.
type nextPage struct {
	Offset int    `json:"offset"`
	Limit  int    `json:"limit"`
	URL    string `json:"url"`
}

type pagination struct {
	Offset int       `json:"offset"`
	Limit  int       `json:"limit"`
	Total  int       `json:"total"`
	Next   *nextPage `json:"next"`
}

// pages answers a list, as one page of several when the client follows pages.
func (a *API) pages(w http.ResponseWriter, r *http.Request, p window, items any, total int) error {
	if !p.wrap {
		return a.json(w, http.StatusOK, items)
	}
	pg := pagination{Offset: p.offset, Limit: p.limit, Total: total}
	if next := p.offset + p.limit; next < total {
		pg.Next = &nextPage{next, p.limit, a.nextURL(r, next, p.limit)}
	}
	return a.json(w, http.StatusOK, map[string]any{"items": items, "_pagination": pg})
}

// nextURL is absolute and made from the request's own URL, since clients follow it as it
// is: a service that asks over the loopback gets a loopback address.
func (a *API) nextURL(r *http.Request, offset, limit int) string {
	u := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath}
	public, err := url.Parse(a.cfg.PublicURL)
	if r.TLS != nil || err == nil && public.Host == r.Host && public.Scheme == "https" {
		u.Scheme = "https" // perhaps a proxy's in front of us
	}
	q := r.URL.Query()
	q.Set("offset", strconv.Itoa(offset))
	q.Set("limit", strconv.Itoa(limit))
	u.RawQuery = q.Encode()
	return u.String()
}
