package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// longestGap is how long subscribers may be without events over a restart: less than
// a shutdown takes that has to cut somebody off, or a retry of the provider.
const longestGap = 15 * time.Second

// rollingRestarts is how often the server is replaced; make campaign asks for more.
func rollingRestarts() int {
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		return 30
	}
	return 4
}

// A new process waits for the log while the old one serves, and takes over when that
// ends, in order or by kill -9. The sender goes on and posts again what was not
// answered, subscribers come back by themselves: every callback is one event, and
// reaches each subscriber once.
func TestRollingRestartLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*process) error{
		"SIGTERM": (*process).stop,
		"SIGKILL": func(p *process) error { p.kill(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rollOver(t, end)
		})
	}
}

func rollOver(t *testing.T, end func(*process) error) {
	t.Helper()
	dir := t.TempDir()
	current := startProcess(t, dir)
	var at addresses
	at.set(current.grpc, current.httpAddr())
	followers := map[string]*follower{
		"Subscribe": follow(t, newLink(t, at.grpcAddr).addr(), fromEarliest(), bySubscribe),
		"Handle":    follow(t, newLink(t, at.grpcAddr).addr(), fromEarliest(), byHandle),
	}
	sender := startSender(t, newLink(t, at.httpAddr).addr())
	sender.awaitAnswers(t)
	for range rollingRestarts() {
		next := startStandby(t, dir)
		ended := make(chan error, 1)
		go func(p *process) { ended <- end(p) }(current)
		current = next.takeOver(t)
		at.set(current.grpc, current.httpAddr())
		require.NoError(t, <-ended)
		sender.awaitAnswers(t)
		for _, f := range followers {
			count := f.count()
			f.await(t, "events of the new process", func() bool { return len(f.events) > count })
		}
	}
	answered := sender.finish()

	for name, f := range followers {
		f.await(t, "every event", func() bool { return len(f.events) >= len(answered) })
		f.leave(t)
		requireSame(t, answered, f.events)
		require.Less(t, f.gap, longestGap)
		t.Logf("%s: %d events over %d restarts, the longest time without one %v; %d streams",
			name, len(f.events), rollingRestarts(), f.gap.Round(time.Millisecond), f.streams)
	}
	requireExactlyOnce(t, current, answered)
	t.Logf("%d callbacks were posted again; the longest time without an answer was %v", sender.retries, sender.gap.Round(time.Millisecond))
}

// requireSame requires each of the ids once, and nothing else.
func requireSame(t *testing.T, want map[string]bool, got []string) {
	t.Helper()
	seen := make(map[string]bool, len(got))
	for _, id := range got {
		require.False(t, seen[id], "%s was received twice", id)
		require.True(t, want[id], "%s was received, and its callback never answered", id)
		seen[id] = true
	}
	require.Len(t, seen, len(want))
}

func (p *process) httpAddr() string {
	p.tb.Helper()
	return p.find(`callbacks +http://([^/]+)`)
}

// standby is a process that waits for another one to release the data folder.
type standby struct {
	*process

	out io.Reader
}

// startStandby starts a process on the data folder of another, and waits until it
// waits.
func startStandby(t *testing.T, dataDir string) *standby {
	t.Helper()
	cmd := exec.Command(os.Args[0], "--http-addr=127.0.0.1:0", "--api-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--data-dir="+dataDir)
	cmd.Env = append(os.Environ(), runAsServer+"=1")
	waits := &signWriter{sign: "waiting for another process", to: t.Output(), seen: make(chan struct{})}
	cmd.Stderr = waits
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { // in case it never took over
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case <-waits.seen:
	case <-timeout.C:
		require.FailNow(t, "the new process does not wait for the old one's log")
	}
	return &standby{process: &process{tb: t, cmd: cmd}, out: out}
}

// takeOver returns the process once it has the log and listens.
func (s *standby) takeOver(t *testing.T) *process {
	t.Helper()
	s.done = make(chan error, 1)
	t.Cleanup(s.kill)
	s.readGreeting(s.out)
	return s.process
}

// signWriter passes text on and tells when a sign was in it.
type signWriter struct {
	sign string
	to   io.Writer
	seen chan struct{}
	once sync.Once
}

// Write expects the sign in one piece, as loggers write lines.
func (w *signWriter) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(w.sign)) {
		w.once.Do(func() { close(w.seen) })
	}
	return w.to.Write(b)
}
