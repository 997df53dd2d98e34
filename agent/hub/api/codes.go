package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// defaultCodeLife is how long a share code lives, in seconds, when the request does not say
// (apihandlers/shares.py: ShareCodeGrantRequest).
const defaultCodeLife = 86400

func (a *API) codeModel(c store.ShareCode) model {
	return model{"server": a.sharedServer(c.Key), "scopes": list(c.Scopes), "id": codeID(c.ID),
		"created_at": stamp(c.Created),
		"expires_at": stamp(c.Expires), "exchange_count": c.ExchangeCount, "last_exchanged_at": stamp(c.LastExchanged)}
}

func codeID(id int64) string { return "sc_" + strconv.FormatInt(id, 10) }

func (a *API) writeCodes(w http.ResponseWriter, r *http.Request, owner ident.User, server *ident.Server) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	all, err := a.cfg.Records.ShareCodes(r.Context(), owner, server)
	if err != nil {
		return err
	}
	models := []model{}
	for _, c := range cut(p, all) {
		models = append(models, a.codeModel(c))
	}
	p.wrap = true
	return a.pages(w, r, p, models, len(all))
}

func (a *API) ownerCodes(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := a.findUser(r)
	if err != nil {
		return err
	}
	return a.writeCodes(w, r, u.Name, nil)
}

func (a *API) serverCodes(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, err := a.sharedKey(r)
	if err != nil {
		return err
	}
	return a.writeCodes(w, r, k.User, &k.Server)
}

// createCode makes a code that whoever has it may exchange for a share. It is shown once.
func (a *API) createCode(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	body := struct {
		Scopes    []string `json:"scopes"`
		ExpiresIn int64    `json:"expires_in"`
	}{ExpiresIn: defaultCodeLife}
	if err := decodeStrict(w, r, &body); err != nil {
		return err
	}
	if low, high := seconds(actions.MinCodeLife), seconds(actions.MaxCodeLife); body.ExpiresIn < low ||
		body.ExpiresIn > high {
		return httpx.Fail(http.StatusBadRequest, "expires_in must be %d to %d seconds, not %d", low, high,
			body.ExpiresIn)
	}
	k, err := a.sharedKey(r)
	if err != nil {
		return err
	}
	secret, code, err := a.cfg.Actions.CreateCode(r.Context(), c, k, body.Scopes,
		time.Duration(body.ExpiresIn)*time.Second)
	if err != nil {
		return err
	}
	m := a.codeModel(code)
	accept := a.cfg.BaseURL + "hub/accept-share?" + url.Values{"code": {secret}}.Encode()
	m["code"], m["accept_url"], m["full_accept_url"] = secret, accept, nil
	if a.cfg.PublicURL != "" {
		m["full_accept_url"] = a.full(accept)
	}
	return a.json(w, http.StatusOK, m)
}

// deleteCodes revokes one code, named by itself or its id, or all of the server's.
func (a *API) deleteCodes(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, err := a.sharedKey(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	switch {
	case q.Get("code") != "":
		err = a.cfg.Actions.DeleteCodeItself(r.Context(), c, k, q.Get("code"))
	case q.Get("id") != "":
		digits, ok := strings.CutPrefix(q.Get("id"), "sc_")
		id, parseErr := strconv.ParseInt(digits, 10, 64)
		if !ok || parseErr != nil {
			return httpx.Fail(http.StatusNotFound, "No code found matching id=%s", q.Get("id"))
		}
		err = a.cfg.Actions.DeleteCode(r.Context(), c, k, id)
	default:
		err = a.cfg.Actions.DeleteCodes(r.Context(), c, k)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
