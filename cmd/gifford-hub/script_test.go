package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gifford-hub": main})
}

// TestScripts runs testdata/*.txtar, which show by example what each command prints.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"hub":    runningHub,
			"keeper": keeper,
		},
	})
}

// someGPUs is what the hub in the tests says of its host where it is told to have GPUs.
const someGPUs = `{"devices":[
{"name":"nvidia.com/gpu=0","model":"NVIDIA H100 80GB HBM3","memory":80000000000,"sharing":"exclusive",
 "places":1,"lent":"one server","profiles":["gpu"],
 "holders":[{"user":"alice","server":"","profile":"gpu","since":"2020-01-01T00:00:00Z"}],
 "now":{"busy":0.97,"memory":60000000000},"hour":{"busy":0.001,"memory":0},"busiest":{"busy":1,"memory":79000000000},
 "strangers":[{"pid":4711,"uid":5002,"user":"bob","command":"python","unit":"session-3.scope","memory":2000000000}]},
{"name":"nvidia.com/gpu=1","health":"it fell off the bus","sharing":"shared","places":4,
 "lent":"0 of 4 places taken","profiles":[],"holders":[],
 "strangers":[{"pid":4712,"uid":9,"user":"uid 9","command":""}]}],
"broken":[{"file":"/etc/cdi/amd.yaml","error":"line 3: no kind"}],"measured":"2020-01-01T00:00:00Z",` +
	`"tool_error":"rocm-smi ended with exit status 9"}`

// hub starts a hub that knows alice's server and says so on the socket named, and has GPUs
// when the second word says so. It stands for the real one, whose own tests cover what it
// does; here the commands are tested.
func runningHub(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+control.ServersPath,
		answer(`[{"user":"alice","server":"","state":"running","profile":"jupyterlab",`+
			`"since":"2020-01-01T00:00:00Z","url":"https://hub.example.org/user/alice/","unit":"jupyter-alice.service","image":"older"}]`))
	mux.HandleFunc("GET "+control.StatusPath,
		answer(`{"version":"1.2.3","pid":42,"servers":1,"listeners":[{"name":"public",`+
			`"address":"0.0.0.0:443"},{"name":"api","address":"127.0.0.1:9091"}],"uptime":61.5,"draining":1}`))
	mux.HandleFunc("GET "+control.DiskPath,
		answer(`{"file_systems":[{"path":"/cluster","free":1100000000000,"total":40000000000000,`+
			`"low":true},{"path":"/var","free":5,"total":9}],`+
			`"users":[{"user":"alice","measured":"2020-01-01T00:00:00Z","home":{"bytes":12345678901,`+
			`"unread":2},"storage":{"bytes":400000}}]}`))
	mux.HandleFunc("GET "+control.UsagePath, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.RawQuery; q == "month=2026-11&user=alice" || q == "" {
			_, _ = w.Write([]byte(`[{"user":"alice","month":"2026-11","gpu_hours":1.5,"cpu_hours":0.0004,` +
				`"memory_gib_hours":3,"server_hours":1234.56},` +
				`{"user":"bob","month":"2026-10","gpu_hours":0.25,"cpu_hours":2,"memory_gib_hours":1,` +
				`"server_hours":1}]`))
			return
		}
		_, _ = w.Write([]byte(`[]`))
	})
	mux.HandleFunc("POST "+control.DiskPath, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(control.Failure{Message: "bob may not have a server"})
	})
	gpus := answer(`{"devices":[],"broken":[]}`)
	if len(args) > 1 && args[1] == "gpus" {
		gpus = answer(someGPUs)
	}
	mux.HandleFunc("GET "+control.GPUsPath, gpus)
	mux.HandleFunc("GET "+control.IdentitiesPath, answer(`[{"user":"bob","issuer":"https://id.example.org",`+
		`"subject":"12\u202e34","bound":"2020-01-01T00:00:00Z"}]`))
	mux.HandleFunc("POST "+control.ForgetPath, func(w http.ResponseWriter, r *http.Request) {
		var req control.ForgetRequest
		if _ = json.NewDecoder(r.Body).Decode(&req); req.User.String() == "bob" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(control.Failure{Message: "the name is bound to no account",
			Hint: "gifford-hub identities list"})
	})
	mux.HandleFunc("POST "+control.StartPath, start)
	mux.HandleFunc("POST "+control.StopPath, func(w http.ResponseWriter,
		r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+control.ReloadPath, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(control.Failure{Message: "the new process ended at once",
			Hint: "journalctl -u gifford-hub"})
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	ts.Defer(func() {
		_ = srv.Close()
		<-done
	})
}

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func start(w http.ResponseWriter, r *http.Request) {
	var req control.StartRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	enc := json.NewEncoder(w)
	_ = enc.Encode(control.Progress{Progress: 10, Message: "asked for jupyter-" + req.User.String() + ".service"})
	if req.User.String() == "alice" {
		_ = enc.Encode(control.Progress{Progress: 100, Message: "ready", Ready: true})
		return
	}
	_ = enc.Encode(control.Progress{Message: "user \"" + req.User.String() + "\" has no Unix account", Failed: true,
		Hint: "getent passwd " + req.User.String()})
}

var update = flag.Bool("update", false, "write the generated files of the repository again")

// TestGenerated checks that the generated files of the repository are those of the tables
// of settings and of the policy. "make docs" writes them.
func TestGenerated(t *testing.T) {
	root := (&app{}).root()
	repository := map[string]string{"settings.md": "../../docs/settings.md", "hub.toml": "../../packaging/hub.toml",
		"launcher.toml": "../../packaging/launcher.toml", "man/launcher.toml.5": "../../packaging/man/launcher.toml.5"}
	for _, d := range documents(root) {
		var b bytes.Buffer
		if err := d.write(&b); err != nil {
			t.Fatal(err)
		}
		if b.Len() < 100 {
			t.Errorf("%s is empty", d.path)
		}
		path := repository[d.path]
		if path == "" {
			continue
		}
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, b.Bytes()) {
			t.Errorf("%s is not what the table of keys says (hint: make docs): %v", filepath.Base(path), err)
		}
	}
}

// TestHelp checks that every command has a long text and an example.
func TestHelp(t *testing.T) {
	seen := 0
	eachCommand((&app{}).root(), func(c *cobra.Command) {
		seen++
		if c.Name() != "completion" && (c.Long == "" || c.Example == "") || c.Short == "" {
			t.Errorf("%s lacks a long text or an example", c.CommandPath())
		}
	})
	if seen < 9 {
		t.Errorf("%d commands were seen", seen)
	}
}
