package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	productModule  = "github.com/wabastream/wabastream"
	secretVariable = "WABASTREAM_BENCH_SECRET" //nolint:gosec // the name of a variable
	startPatience  = time.Minute
	stopPatience   = time.Minute
)

// serverConfig has the source that callbacks are signed for.
const serverConfig = `sources:
  - name: ` + sourceName + `
    access_keys:
      - key: ` + accessKey + `
        secret_env: ` + secretVariable + `
`

// serverProgram is the product's server, ready to be started.
type serverProgram struct {
	file, config string
	stderr       io.Writer
}

// server builds the server from the tree this command is run in, or takes the one
// that --server names.
func (b *bench) server(ctx context.Context) (*serverProgram, error) {
	p := &serverProgram{file: b.serverFile, config: filepath.Join(b.data, "server.yaml"), stderr: b.progress}
	if err := os.WriteFile(p.config, []byte(serverConfig), 0o600); err != nil {
		return nil, fmt.Errorf("write the server's configuration: %w", err)
	}
	if p.file != "" {
		return p, nil
	}
	fmt.Fprintln(b.progress, "building the server")
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", productModule).Output()
	if err != nil {
		return nil, fmt.Errorf("find the server's source: %w; run this command inside the tree, or name a server with --server", err)
	}
	if p.file, err = filepath.Abs(filepath.Join(b.data, "wabastreamd")); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.file, "./server") //nolint:gosec // a name made here
	build.Dir = strings.TrimSpace(string(out))
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the server: %w\n%s", err, text)
	}
	return p, nil
}

// serverProcess is a server in a process of its own.
type serverProcess struct {
	addresses
	startup time.Duration // until it was ready

	cmd   *exec.Cmd
	ended chan struct{} // closed once the process has ended
	err   error         // how it ended; to be read after that
}

// start returns once the server on the data is ready. It must be stopped or
// killed; the end of the context kills it too.
func (s *serverProgram) start(ctx context.Context, data string, args ...string) (_ *serverProcess, err error) {
	args = append([]string{
		"--config=" + s.config, "--data-dir=" + data, "--log-level=warn",
		"--http-addr=127.0.0.1:0", "--api-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0",
	}, args...)
	p := &serverProcess{cmd: exec.CommandContext(ctx, s.file, args...), ended: make(chan struct{})} //nolint:gosec // the server and its data
	p.cmd.Env = append(os.Environ(), secretVariable+"="+accessSecret)
	p.cmd.Stderr = s.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	p.addresses, err = readGreeting(out)
	go func() {
		// The pipe is read to its end before the process is waited for.
		_, _ = io.Copy(io.Discard, out)
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if err == nil {
		err = p.untilReady(ctx)
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("start the server: %w", errors.Join(err, p.err))
	}
	p.startup = time.Since(began)
	return p, nil
}

// addresses are where a server listens.
type addresses struct{ http, api, grpc string }

// readGreeting reads as far as it needs to.
func readGreeting(r io.Reader) (a addresses, err error) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(fields[1], "http://"), "/")
		switch fields[0] {
		case "callbacks":
			a.http = host
		case "REST":
			a.api = host
		case "gRPC":
			a.grpc = host
		}
		if a.http != "" && a.api != "" && a.grpc != "" {
			return a, nil
		}
	}
	return a, errors.New("it ended without saying where it listens")
}

func (p *serverProcess) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		status, _, err := p.get(ctx, "/readyz")
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-again.C:
		case <-p.ended:
			return errors.New("it ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// get asks the server's API.
func (p *serverProcess) get(ctx context.Context, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.api+path, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// memory asks how much of the server is in RAM.
func (p *serverProcess) memory() (memory, error) { return memoryOf(p.cmd.Process.Pid) }

// stop shuts the server down in order.
func (p *serverProcess) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	patience := time.AfterFunc(stopPatience, func() { _ = p.cmd.Process.Kill() })
	defer patience.Stop()
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("stop the server: %w", p.err)
	}
	return nil
}

// kill ends the server with SIGKILL, and waits until it has ended; it may have
// ended before.
func (p *serverProcess) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
