//go:build examples

package behaviour_test

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kind is a kind of consumer.
type kind struct {
	name string
	// address is where a server is for it.
	address func(s *server) string
	// launch starts a process of a consumer, with more options than the consumer's own.
	launch func(c *consumer, args []string) *process
	// interrupted is the exit code after SIGTERM.
	interrupted int
	// keep is where its checkpoint is instead of in a file.
	keep func(c *consumer) keeper
	// gapsEnd says that a gap ends it unless it is told to go on.
	gapsEnd bool
	// eventSource says that it is nothing but an EventSource: it cannot watch
	// heartbeats, and it cannot send a token.
	eventSource bool
}

// kinds are all of them.
func kinds(t *testing.T) []kind {
	t.Helper()
	return append(languages(t), overHTTP()...)
}

// languages are the examples that speak gRPC, each the command of its README.
func languages(t *testing.T) []kind {
	t.Helper()
	all := []kind{
		{name: "go"},
		{name: "java", interrupted: 128 + int(syscall.SIGTERM)},
		{name: "python"},
		{name: "typescript"},
	}
	for i := range all {
		folder := filepath.Join("..", all[i].name)
		command := runCommand(t, folder)
		all[i].gapsEnd = true
		all[i].address = func(s *server) string { return s.grpc.address() }
		all[i].launch = func(c *consumer, args []string) *process { return launchCommand(c, folder, command, args) }
	}
	return all
}

// runCommand returns the command that a README says to run the example with.
func runCommand(t *testing.T, folder string) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "<!-- run -->\n```sh\n")
	require.True(t, found, "%s/README.md does not say how to run it", folder)
	line, _, _ := strings.Cut(rest, "\n```")
	return strings.Fields(line)
}

// consumer is a consumer of some kind with a checkpoint, and all its processes, one
// after the other. Its methods are for the test's goroutine.
type consumer struct {
	kind

	t          *testing.T
	checkpoint keeper
	args       []string
	runs       []*process
}

// keeper keeps what a checkpoint holds, as the file of the examples would.
type keeper interface {
	// load reports with false that there is no checkpoint yet, which an empty one is not.
	load() (content string, there bool, err error)
	store(content string) error
}

func newConsumer(t *testing.T, k kind, address string, args ...string) *consumer {
	t.Helper()
	file := filepath.Join(t.TempDir(), k.name+".cursor")
	args = append([]string{"--addr", address, "--checkpoint", file, "--heartbeat", "1"}, args...)
	c := &consumer{kind: k, t: t, checkpoint: fileKeeper(file), args: args}
	if k.keep != nil {
		c.checkpoint = k.keep(c)
	}
	return c
}

// process is one process of a consumer, or what stands for one. What is noted in it is
// noted by one goroutine at a time, until it has ended.
type process struct {
	name string
	// interrupt has it end in good order, kill at once.
	interrupt, kill func()
	// renew tells it that the token file is another; nil if it looks by itself.
	renew    func()
	frame    int           // where a page is
	exitCode int           // set before done is closed
	done     chan struct{} // closed when it has ended
	noted    chan struct{} // has a token when something was noted since it was read

	mu     sync.Mutex // guards fields below it
	lines  []string
	notes  []string // what it said on standard error
	killed bool
}

func newProcess(name string) *process {
	return &process{name: name, done: make(chan struct{}), noted: make(chan struct{}, 1)}
}

func (p *process) line(text string) { p.add(&p.lines, text) }

func (p *process) note(text string) { p.add(&p.notes, text) }

func (p *process) add(to *[]string, text string) {
	p.mu.Lock()
	*to = append(*to, text)
	p.mu.Unlock()
	select {
	case p.noted <- struct{}{}:
	default:
	}
}

// start starts the next process.
func (c *consumer) start(args ...string) {
	c.t.Helper()
	p := c.launch(c, args)
	c.t.Cleanup(func() {
		p.kill()
		<-p.done
		if c.t.Failed() {
			c.t.Logf("%s printed %d lines, and said:\n%s", c.name, len(p.lines), strings.Join(p.notes, "\n"))
		}
	})
	c.runs = append(c.runs, p)
}

// launchCommand starts the command of an example in its folder.
func launchCommand(c *consumer, folder string, command, args []string) *process {
	c.t.Helper()
	command = slices.Concat(command, c.args, args)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = folder
	p := newProcess(c.name)
	p.interrupt = func() { _ = cmd.Process.Signal(syscall.SIGTERM) }
	p.kill = func() { _ = cmd.Process.Kill() }
	stdout, err := cmd.StdoutPipe()
	require.NoError(c.t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, cmd.Start(), "the %s example is not built: make examples", c.name)
	var readers sync.WaitGroup
	readers.Go(func() { eachLine(stdout, p.line) })
	readers.Go(func() { eachLine(stderr, p.note) })
	go func() {
		readers.Wait()
		_ = cmd.Wait()
		p.exitCode = cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	return p
}

func eachLine(of io.Reader, do func(string)) {
	lines := bufio.NewScanner(of)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		do(lines.Text())
	}
}

// running is the process that was started last.
func (c *consumer) running() *process { return c.runs[len(c.runs)-1] }

// await waits until the condition holds of what the running process has printed and
// said.
func (c *consumer) await(what string, holds func(lines, notes []string) bool) {
	c.t.Helper()
	p := c.running()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		held := holds(p.lines, p.notes)
		p.mu.Unlock()
		if held {
			return
		}
		select {
		case <-p.noted:
		case <-p.done:
			require.FailNow(c.t, "the consumer ended", "%s, before %s", c.name, what)
		case <-timeout.C:
			require.FailNow(c.t, "waited in vain", "for %s of %s", what, c.name)
		}
	}
}

// awaitLines waits until the running process has printed so many lines.
func (c *consumer) awaitLines(n int) {
	c.t.Helper()
	c.await("all lines", func(lines, _ []string) bool { return len(lines) >= n })
}

// awaitNote waits until the running process has said so many lines that match the
// pattern, whatever their case.
func (c *consumer) awaitNote(pattern string, times int) {
	c.t.Helper()
	said := regexp.MustCompile("(?i)" + pattern)
	c.await(pattern, func(_, notes []string) bool {
		count := 0
		for _, note := range notes {
			if said.MatchString(note) {
				count++
			}
		}
		return count >= times
	})
}

// stop interrupts the running process, which must end in good order.
func (c *consumer) stop() {
	c.t.Helper()
	c.running().interrupt()
	require.Equal(c.t, c.interrupted, c.end(), "exit code of %s when interrupted", c.name)
}

// kill ends the running process without a word.
func (c *consumer) kill() {
	c.t.Helper()
	p := c.running()
	p.killed = true
	p.kill()
	c.end()
}

// end waits for the running process to end, and returns its exit code.
func (c *consumer) end() int {
	c.t.Helper()
	p := c.running()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		require.FailNow(c.t, "waited in vain", "for the end of %s", c.name)
	}
	return p.exitCode
}

// said returns what the running process has said, once it has ended.
func (c *consumer) said() string { return strings.Join(c.running().notes, "\n") }

// saved returns what the checkpoint holds; empty when there is none yet.
func (c *consumer) saved() string {
	c.t.Helper()
	content, _, err := c.checkpoint.load()
	require.NoError(c.t, err, c.name)
	return content
}

// awaitSaved waits until the checkpoint holds something.
func (c *consumer) awaitSaved(content string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.saved() == content }, patience, 50*time.Millisecond, c.name)
}

// save puts something into the checkpoint.
func (c *consumer) save(content string) {
	c.t.Helper()
	require.NoError(c.t, c.checkpoint.store(content), c.name)
}

// fileKeeper is the path of a checkpoint's file.
type fileKeeper string

func (f fileKeeper) load() (string, bool, error) {
	content, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(content), true, err
}

func (f fileKeeper) store(content string) error {
	return os.WriteFile(string(f), []byte(content), 0o600)
}
