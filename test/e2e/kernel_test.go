//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// kernel is a Jupyter kernel reached the way a browser reaches it: through the hub's
// proxy, by its WebSocket.
type kernel struct {
	v    *visitor
	user string
	id   string
	conn *websocket.Conn
}

// enter opens the user's server in the browser, which makes its cookies.
func (v *visitor) enter(user string) page {
	v.t.Helper()
	return v.get("/user/" + user + "/lab")
}

// newKernel starts a kernel on the user's server and connects to it.
func (v *visitor) newKernel(user string) *kernel {
	v.t.Helper()
	if p := v.enter(user); p.status != http.StatusOK || p.url.Path != "/user/"+user+"/lab" {
		v.t.Fatalf("cannot open JupyterLab: %s", p)
	}
	p := v.jupyter(user, "POST", "/api/kernels", `{"name":"python3"}`)
	var model struct{ ID string }
	if err := json.Unmarshal([]byte(p.body), &model); err != nil || model.ID == "" {
		v.t.Fatalf("no kernel: %v: %s", err, p)
	}
	k := &kernel{v: v, user: user, id: model.ID}
	k.connect()
	return k
}

// jupyter calls the user's server with the browser's cookies and their XSRF token.
func (v *visitor) jupyter(user, method, path, body string) page {
	v.t.Helper()
	p, err := v.tryJupyter(v.t.Context(), user, method, path, body)
	if err != nil {
		v.t.Fatalf("%s %s on %s's server: %v", method, path, user, err)
	}
	return p
}

// tryJupyter is jupyter for calls that may fail, or that outlive the test's context.
func (v *visitor) tryJupyter(ctx context.Context, user, method, path, body string) (page, error) {
	target, err := url.Parse(v.url("/user/" + user + path))
	if err != nil {
		return page{}, err
	}
	for _, c := range v.http.Jar.Cookies(target) {
		if c.Name == "_xsrf" {
			target.RawQuery = url.Values{"_xsrf": {c.Value}}.Encode()
		}
	}
	return v.tryDo(ctx, method, target.String(), "application/json", body)
}

// dial opens another WebSocket to the kernel and returns the status of the answer.
func (k *kernel) dial() (*websocket.Conn, int, error) {
	ctx, cancel := context.WithTimeout(k.v.t.Context(), 30*time.Second)
	defer cancel()
	// The channel needs HTTP/1.1; the browser's own transport prefers HTTP/2.
	tr := transport(k.v.t)
	tr.ForceAttemptHTTP2 = false
	client := &http.Client{Jar: k.v.http.Jar, Transport: tr}
	conn, resp, err := websocket.Dial(ctx, k.v.url("/user/"+k.user+"/api/kernels/"+k.id+"/channels"),
		&websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Origin": {"https://" + k.v.host.ip}}})
	if err != nil {
		if resp != nil {
			return nil, resp.StatusCode, err
		}
		return nil, 0, err
	}
	k.v.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn, http.StatusSwitchingProtocols, nil
}

// connect opens the kernel's WebSocket again.
func (k *kernel) connect() {
	k.v.t.Helper()
	conn, _, err := k.dial()
	if err != nil {
		k.v.t.Fatalf("the kernel's WebSocket: %v", err)
	}
	conn.SetReadLimit(-1)
	k.conn = conn
}

// closed waits until the kernel's WebSocket has ended, and fails where it does not.
func (k *kernel) closed() error {
	ctx, cancel := context.WithTimeout(k.v.t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := k.conn.Read(ctx); err != nil {
			return ctx.Err()
		}
	}
}

// message is what the tests need of Jupyter's messaging protocol.
type message struct {
	Header struct {
		MsgType string `json:"msg_type"`
	} `json:"header"`
	Parent struct {
		MsgID string `json:"msg_id"`
	} `json:"parent_header"`
	Content struct {
		Text           string
		ExecutionState string `json:"execution_state"`
		EName          string `json:"ename"`
		EValue         string `json:"evalue"`
	} `json:"content"`
}

// send asks the kernel to run code, without waiting.
func (k *kernel) send(id, code string) {
	k.v.t.Helper()
	body, _ := json.Marshal(map[string]any{
		"channel": "shell", "metadata": map[string]any{}, "parent_header": map[string]any{},
		"header": map[string]any{"msg_id": id, "session": "e2e", "username": k.user, "msg_type": "execute_request",
			"version": "5.3"},
		"content": map[string]any{"code": code, "silent": false, "store_history": false, "allow_stdin": false,
			"stop_on_error": false},
	})
	if err := k.conn.Write(k.v.t.Context(), websocket.MessageText, body); err != nil {
		k.v.t.Fatalf("send to the kernel: %v", err)
	}
}

// next reads messages until one of the cell says something: its output, or done.
func (k *kernel) next(id string, bound time.Duration) (text string, done bool, err error) {
	ctx, cancel := context.WithTimeout(k.v.t.Context(), bound)
	defer cancel()
	for {
		_, body, err := k.conn.Read(ctx)
		if err != nil {
			return "", false, err
		}
		var m message
		if err := json.Unmarshal(body, &m); err != nil {
			return "", false, err
		}
		if m.Parent.MsgID != id {
			continue
		}
		switch {
		case m.Header.MsgType == "stream":
			return m.Content.Text, false, nil
		case m.Header.MsgType == "error":
			return m.Content.EName + ": " + m.Content.EValue, false, nil
		case m.Header.MsgType == "status" && m.Content.ExecutionState == "idle":
			return "", true, nil
		}
	}
}

// exec runs a cell and returns all that it printed, errors included.
func (k *kernel) exec(code string) string {
	k.v.t.Helper()
	id := "cell-" + time.Now().Format("150405.000000000")
	k.send(id, code)
	var out strings.Builder
	for {
		text, done, err := k.next(id, time.Minute)
		if err != nil {
			k.v.t.Fatalf("read from the kernel: %v\nso far: %s", err, out.String())
		}
		if done {
			return out.String()
		}
		out.WriteString(text)
	}
}
