package docs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a server may take to start and a block to end.
const patience = time.Minute

// server is a process that serves, however it was started.
type server struct {
	command []string
	dir     string
	env     []string

	process *exec.Cmd
	printed *output
	ended   chan struct{}
	greeting
}

// greeting is what a server says of itself when it is there.
type greeting struct {
	http, api, grpc string
	pid             int
}

// start starts the server and returns when it is there.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.printed = &output{changed: make(chan struct{}, 1)}
	s.ended = make(chan struct{})
	s.process = exec.Command(s.command[0], s.command[1:]...)
	s.process.Dir, s.process.Env = s.dir, s.env
	s.process.Stdout, s.process.Stderr = s.printed, s.printed
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, s.process.Start())
	go func() {
		defer close(s.ended)
		_ = s.process.Wait() // why it ended is in what it printed
	}()
	late := time.After(10 * patience) // go run compiles it
	for {
		if greeting, ok := readGreeting(s.printed.String()); ok {
			s.greeting = greeting
			return
		}
		select {
		case <-s.printed.changed:
		case <-s.ended:
			t.Fatalf("the server ended:\n%s", s.printed)
		case <-late:
			t.Fatalf("the server is not there:\n%s", s.printed)
		}
	}
}

// readGreeting reports whether all of it is there.
func readGreeting(text string) (greeting, bool) {
	find := func(label, form string) string {
		found := regexp.MustCompile(`(?m)^  ` + label + ` +(?:https?://)?(` + form + `)`).FindStringSubmatch(text)
		if found == nil {
			return ""
		}
		return found[1]
	}
	g := greeting{http: find("callbacks", `[^/\s]+`), api: find("REST", `[^/\s]+`), grpc: find("gRPC", `[^/\s]+`)}
	g.pid, _ = strconv.Atoi(find("process", `\d+`))
	return g, g.pid != 0 && strings.Contains(text, "wabastream.v1.EventService/Subscribe")
}

// stop ends the server with a signal and waits until everything of it is gone.
func (s *server) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if s == nil || s.process == nil {
		return
	}
	_ = syscall.Kill(s.pid, signal) // it may have ended by itself
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
		t.Errorf("the server does not end:\n%s", s.printed)
		<-s.ended
	}
	s.process = nil
}

// output is what a process prints.
type output struct {
	mu      sync.Mutex // guards text
	text    bytes.Buffer
	changed chan struct{} // has an item when there is more
}

// Write appends.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

// String returns everything printed so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// setup is how a server of a name is set up: its configuration, a template of the
// folder that it is in, and the files that this names.
type setup struct {
	config string
	files  map[string]string
}

// setups are the servers that blocks can be with.
func setups() map[string]setup {
	return map[string]setup{
		// What anyone has who configures nothing.
		"open": {},
		// Callbacks are signed.
		"signed": {
			config: "sources:\n  - {name: nxcloud, access_keys: [{key: fme2na3kdi3ki, secret_file: secret}]}\n",
			files:  map[string]string{"secret": "s3cret"},
		},
	}
}

// newServer writes a server's files; it is not started yet. The one without any
// configuration is in the page's folder, as the page's readers have it, and each other
// in a folder of its own.
func newServer(t *testing.T, name, bin, dir string, env []string) *server {
	t.Helper()
	made, ok := setups()[name]
	require.True(t, ok, "no server is named %s", name)
	data := filepath.Join(dir, name)
	if name == "open" {
		data = dir
	}
	require.NoError(t, os.MkdirAll(data, 0o700))
	for file, text := range made.files {
		require.NoError(t, os.WriteFile(filepath.Join(data, file), []byte(text), 0o600))
	}
	config := filepath.Join(data, "wabastream.yaml")
	require.NoError(t, os.WriteFile(config, []byte(made.config), 0o600))
	return &server{
		command: []string{filepath.Join(bin, "wabastreamd"), "--config", config, "--data-dir", "data"},
		dir:     data, env: append(env, anyPorts()...),
	}
}

// anyPorts has a server listen where there is room.
func anyPorts() []string {
	var env []string
	for _, listener := range []string{"HTTP", "API", "GRPC"} {
		env = append(env, fmt.Sprintf("WABASTREAM_%s_ADDR=127.0.0.1:0", listener))
	}
	return env
}
