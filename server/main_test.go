package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runAsServer makes this test binary the server itself: tests start it as a real
// process, which they can kill.
const runAsServer = "WABASTREAMD_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsServer) != "" {
		freeMemoryOnRequest()
		os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// freeMemoryOnRequest has this process give back the memory that it does not use when
// it gets SIGUSR1, so that what it holds on to can be told from what was not collected
// yet.
func freeMemoryOnRequest() {
	requests := make(chan os.Signal, 1)
	signal.Notify(requests, syscall.SIGUSR1)
	go func() {
		for range requests {
			debug.FreeOSMemory()
		}
	}()
}

// process is a server process on ports that the system picked.
type process struct {
	tb       testing.TB
	cmd      *exec.Cmd
	greeting string
	webhook  string
	api      string
	grpc     string
	done     chan error
	logged   atomic.Int64 // bytes
	client   *http.Client // for api, with TLS too
}

// startProcess starts a server on the data folder and waits until it is ready.
func startProcess(tb testing.TB, dataDir string, args ...string) *process {
	tb.Helper()
	return startProcessLogging(tb, io.Discard, dataDir, args...)
}

// startProcessLogging also writes what the server logs, until the process has ended.
func startProcessLogging(tb testing.TB, log io.Writer, dataDir string, args ...string) *process {
	tb.Helper()
	args = append([]string{"--http-addr=127.0.0.1:0", "--api-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--data-dir=" + dataDir}, args...)
	p := &process{tb: tb, cmd: exec.Command(os.Args[0], args...), done: make(chan error, 1), client: trustingClient()}
	p.cmd.Env = append(os.Environ(), runAsServer+"=1")
	p.cmd.Stderr = io.MultiWriter(tb.Output(), log, &written{&p.logged})
	out, err := p.cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, p.cmd.Start())
	tb.Cleanup(p.kill)
	p.readGreeting(out)
	p.waitReady()
	return p
}

// written counts bytes.
type written struct{ bytes *atomic.Int64 }

func (w *written) Write(b []byte) (int, error) {
	w.bytes.Add(int64(len(b)))
	return len(b), nil
}

func (p *process) readGreeting(out io.Reader) {
	p.tb.Helper()
	var greeting strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		greeting.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "grpcurl -") {
			break
		}
	}
	p.greeting = greeting.String()
	// The pipe is read to its end before the process is waited for.
	go func() {
		_, _ = io.Copy(io.Discard, out)
		p.done <- p.cmd.Wait()
	}()
	p.webhook = p.find(`callbacks +(https?://[^/]+)`) + "/webhooks/nxcloud"
	p.api = p.find(`REST +(https?://[^/]+)`)
	p.grpc = p.find(`gRPC +(\S+)`)
}

// trustingClient takes any certificate.
func trustingClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
}

func (p *process) find(pattern string) string {
	p.tb.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(p.greeting)
	require.NotNil(p.tb, match, "%s in the greeting:\n%s", pattern, p.greeting)
	return match[1]
}

func (p *process) waitReady() {
	p.tb.Helper()
	require.Eventually(p.tb, func() bool {
		resp, err := p.client.Get(p.api + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 5*time.Millisecond, "the server is not ready")
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	if p.done == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	if err := <-p.done; err == nil {
		p.tb.Error("the server had ended by itself before it was killed")
	}
	p.done = nil
}

// stop ends the process with SIGTERM and returns how it ended.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	err := <-p.done
	p.done = nil
	return err
}

// post posts a callback and returns the answer's status; an error means that no
// whole answer came.
func (p *process) post(ctx context.Context, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.webhook, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// grpcurl is the command line of the pinned grpcurl, compiled when first used.
func grpcurl() []string {
	return []string{"go", "tool", "-modfile=../tools/grpcurl/go.mod", "grpcurl"}
}
