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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// language is an example: its folder's name, and the command of its README.
type language struct {
	name    string
	command []string
	// interrupted is the exit code after SIGTERM.
	interrupted int
}

// languages are all examples.
func languages(t *testing.T) []language {
	t.Helper()
	all := []language{
		{name: "go"},
		{name: "java", interrupted: 128 + int(syscall.SIGTERM)},
		{name: "python"},
		{name: "typescript"},
	}
	for i := range all {
		all[i].command = runCommand(t, all[i].folder())
	}
	return all
}

func (l *language) folder() string { return filepath.Join("..", l.name) }

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

// consumer is a consumer in some language with a checkpoint, and all its processes, one
// after the other. Its methods are for the test's goroutine.
type consumer struct {
	language

	t          *testing.T
	checkpoint string
	args       []string
	runs       []*process
}

func newConsumer(t *testing.T, l language, s *network, args ...string) *consumer {
	t.Helper()
	checkpoint := filepath.Join(t.TempDir(), l.name+".cursor")
	args = append([]string{"--addr", s.address(), "--checkpoint", checkpoint, "--heartbeat", "1"}, args...)
	return &consumer{language: l, t: t, checkpoint: checkpoint, args: args}
}

// process is one process of a consumer.
type process struct {
	language string
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has ended
	noted    chan struct{} // has a token when something was noted since it was read

	mu     sync.Mutex // guards fields below it
	lines  []string
	notes  []string // what it said on standard error
	killed bool
}

// start starts the next process.
func (c *consumer) start(args ...string) {
	c.t.Helper()
	command := append(append(append([]string{}, c.command...), c.args...), args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = c.folder()
	p := &process{language: c.name, cmd: cmd, done: make(chan struct{}), noted: make(chan struct{}, 1)}
	stdout, err := cmd.StdoutPipe()
	require.NoError(c.t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, cmd.Start(), "the %s example is not built: make examples", c.name)
	var readers sync.WaitGroup
	readers.Go(func() { p.read(stdout, &p.lines) })
	readers.Go(func() { p.read(stderr, &p.notes) })
	go func() {
		readers.Wait()
		_ = cmd.Wait()
		close(p.done)
	}()
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
		if c.t.Failed() {
			c.t.Logf("%s printed %d lines, and said:\n%s", c.name, len(p.lines), strings.Join(p.notes, "\n"))
		}
	})
	c.runs = append(c.runs, p)
}

func (p *process) read(from io.Reader, to *[]string) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		p.mu.Lock()
		*to = append(*to, lines.Text())
		p.mu.Unlock()
		select {
		case p.noted <- struct{}{}:
		default:
		}
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
	require.NoError(c.t, c.running().cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(c.t, c.interrupted, c.end(), "exit code of %s when interrupted", c.name)
}

// kill ends the running process without a word.
func (c *consumer) kill() {
	c.t.Helper()
	p := c.running()
	p.killed = true
	_ = p.cmd.Process.Kill()
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
	return p.cmd.ProcessState.ExitCode()
}

// said returns what the running process has said, once it has ended.
func (c *consumer) said() string { return strings.Join(c.running().notes, "\n") }

// saved returns what the checkpoint holds; empty when there is none yet.
func (c *consumer) saved() string {
	c.t.Helper()
	cursor, err := os.ReadFile(c.checkpoint)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(c.t, err, c.name)
	}
	return string(cursor)
}

// awaitSaved waits until the checkpoint holds something.
func (c *consumer) awaitSaved(content string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.saved() == content }, patience, 50*time.Millisecond, c.name)
}

// save puts something into the checkpoint.
func (c *consumer) save(content string) {
	c.t.Helper()
	require.NoError(c.t, os.WriteFile(c.checkpoint, []byte(content), 0o600))
}
