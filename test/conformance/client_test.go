//go:build conformance

package conformance

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// hub is the hub that is asked.
type hub struct {
	url    string // of the base URL, with a slash at the end
	http   *http.Client
	ours   bool              // it is gifford-hub
	tokens map[string]string // of callers by name
	suffix string            // makes names of this run its own
}

// open reads where the hub is and makes the tokens of alice and bob.
func open(t *testing.T) *hub {
	t.Helper()
	h := &hub{url: os.Getenv("GIFFORD_CONFORMANCE_URL"), ours: os.Getenv("GIFFORD_CONFORMANCE_TARGET") == "gifford-hub",
		suffix: strings.ToLower(rand.Text()[:6]), tokens: map[string]string{"none": "", "wrong": "nonsense",
			"admin":   os.Getenv("GIFFORD_CONFORMANCE_ADMIN_TOKEN"),
			"limited": os.Getenv("GIFFORD_CONFORMANCE_LIMITED_TOKEN")}}
	if h.url == "" || h.tokens["admin"] == "" || h.tokens["limited"] == "" {
		t.Fatal("there is no hub to ask: run test/conformance/run, which starts one")
	}
	tr := &http.Transport{}
	if file := os.Getenv("GIFFORD_CONFORMANCE_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	t.Cleanup(tr.CloseIdleConnections)
	h.http = &http.Client{Transport: tr, Timeout: 2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, user := range []string{"alice", "bob"} {
		h.do(t, "admin", "POST", "/users/"+user, "")
		h.token(t, user, user, "")
	}
	return h
}

// token makes a token of a user for the caller name, with the scopes given as JSON or, for
// "", without a word.
func (h *hub) token(t *testing.T, name, user, scopes string) {
	t.Helper()
	body := `{"note":"conformance"}`
	if scopes != "" {
		body = `{"note":"conformance","scopes":` + scopes + `}`
	}
	a := h.do(t, "admin", "POST", "/users/"+user+"/tokens", body)
	token, _ := a.object(t)["token"].(string)
	if a.status != 201 || token == "" {
		t.Fatalf("no token for %s: %s", user, a)
	}
	h.tokens[name] = token
}

// answer is what the hub said.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string {
	return http.StatusText(a.status) + " (" + http.Header(a.header).Get("Content-Type") + ") " + a.body
}

// object returns the body as a JSON object.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("the answer is no JSON object: %s", a)
	}
	return m
}

// array returns the body as a JSON array of objects.
func (a answer) array(t *testing.T) []map[string]any {
	t.Helper()
	var l []map[string]any
	if err := json.Unmarshal([]byte(a.body), &l); err != nil {
		t.Fatalf("the answer is no JSON array: %s", a)
	}
	return l
}

// do sends a request as a caller. A path begins after hub/api, unless it is a whole URL.
func (h *hub) do(t *testing.T, as, method, path, body string, header ...string) answer {
	t.Helper()
	target := h.url + "hub/api" + path
	if strings.HasPrefix(path, "http") {
		target = path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	token, known := h.tokens[as]
	if !known {
		t.Fatalf("there is no caller %q", as)
	}
	if token != "" {
		r.Header.Set("Authorization", "token "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := h.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// stopped waits until a server is gone.
func (h *hub) stopped(t *testing.T, user, server string) {
	t.Helper()
	h.until(t, user+"/"+server+" is stopped", func() bool {
		servers, _ := h.do(t, "admin", "GET", "/users/"+user, "").object(t)["servers"].(map[string]any)
		_, active := servers[server]
		return !active
	})
}

// start starts a user's server and waits until it answers. One that is still ending, after
// another test, is waited for.
func (h *hub) start(t *testing.T, user string) {
	t.Helper()
	var last answer
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		last = h.do(t, user, "POST", "/users/"+user+"/server", "")
		if last.status == 201 || last.status == 202 {
			break
		}
		if last.status != 400 || time.Since(begun) > 90*time.Second {
			t.Fatalf("%s's server does not start: %s", user, last)
		}
	}
	h.ready(t, user, "")
}

// ready waits until a server answers.
func (h *hub) ready(t *testing.T, user, server string) {
	t.Helper()
	h.until(t, user+"/"+server+" is ready", func() bool {
		servers, _ := h.do(t, "admin", "GET", "/users/"+user, "").object(t)["servers"].(map[string]any)
		s, _ := servers[server].(map[string]any)
		return s["ready"] == true
	})
}

func (h *hub) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for start := time.Now(); !cond(); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > 90*time.Second {
			t.Fatalf("after %s still not so: %s", time.Since(start).Round(time.Second), what)
		}
	}
}

// keys checks that an object has exactly these keys. Those of JupyterHub 6 may be there as
// well, but not in the version that Debian packages.
func (h *hub) keys(t *testing.T, m map[string]any, want string) {
	t.Helper()
	since6 := []string{"user_info", "display_name"}
	var got []string
	for k := range m {
		if !h.ours || !slices.Contains(since6, k) {
			got = append(got, k)
		}
	}
	slices.Sort(got)
	keys := strings.Fields(want)
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		t.Errorf("the keys are %v, want %v", got, keys)
	}
}

// scopes returns the expanded scopes of an answer to GET /user, without those of version 6.
func scopes(t *testing.T, a answer) []string {
	t.Helper()
	var got []string
	list, _ := a.object(t)["scopes"].([]any)
	for _, s := range list {
		if text, _ := s.(string); !strings.HasPrefix(text, "start:servers") {
			got = append(got, text)
		}
	}
	return got
}
