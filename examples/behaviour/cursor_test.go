//go:build examples

package behaviour_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The exit codes that README.md documents.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitCursor      = 3
	exitCredentials = 4
)

// Events that were removed before they could be read end the consumer, which says so
// and leaves its checkpoint alone; told to, it goes on with what is left, and says that
// too. Server-sent events always go on.
func TestExpiredCursor(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--retention-age=1s")
	c := startCrew(t, s)
	s.post(1)
	c.awaitLines(1)
	first := s.held()
	c.stop()
	c.check(first)
	s.post(60)
	s.awaitTrim() // a minute: then the first tenth goes
	c.with(func(k kind) bool { return k.gapsEnd }).requireRefused(exitCursor, "CURSOR_EXPIRED")

	for _, each := range c {
		each.start("--on-gap", "continue")
	}
	c.awaitNote("were removed before they could be read", 1)
	held := s.held()
	c.awaitLast(expectedLine(held[len(held)-1]))
	c.stop()
	for _, each := range c { // retention goes on: more may be gone by now than when they read
		lines := each.running().lines
		each.runs = each.runs[len(each.runs)-1:]
		require.GreaterOrEqual(t, len(lines), len(held), each.name)
		each.running().lines = lines[len(lines)-len(held):]
	}
	c.check(held)
}

// A checkpoint that is of another log, from beyond the log's end, or none at all, ends
// the consumer, which leaves it as it was.
func TestForeignCursor(t *testing.T) {
	t.Parallel()
	s, other := newServer(t), newServer(t)
	s.post(3)
	other.post(3)
	cursor := other.held()[1].GetCursor()
	c := newCrew(t, s)
	for _, wrong := range []struct {
		checkpoint string
		exitCode   int
		reason     string
	}{
		{cursor + "\n", exitCursor, "CURSOR_LOG_MISMATCH"},
		{"nonsense\n", exitCursor, "CURSOR_MALFORMED"},
		{"", exitFailed, ""},
	} {
		for _, each := range c {
			each.save(wrong.checkpoint)
		}
		c.requireRefused(wrong.exitCode, wrong.reason)
	}
	for _, each := range c {
		each.runs = nil
		each.save(s.held()[0].GetCursor() + "\n")
	}
	c.start()
	c.awaitLines(2)
	c.stop()
	c.check(s.held()[1:])
}

// A log that was restored from a copy refuses cursors from beyond it.
func TestCursorBeyondTheLog(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.post(3)
	backup := s.backup()
	s.post(3)
	c := startCrew(t, s)
	c.awaitLines(6)
	c.stop()
	s.stop()
	s.data = backup
	s.start()
	c.requireRefused(exitCursor, "CURSOR_AHEAD_OF_LOG")
}

// What the server refuses, and what is no option, end the consumer.
func TestWrongOptions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	newCrew(t, s).requireRefused(exitFailed, "FILTER_INVALID", "--type", "Not a type")
	c := crewOf(t, languages(t), func(k kind) string { return k.address(s) }) // what else is an option is not for all
	for _, wrong := range []struct {
		args     []string
		exitCode int
		reason   string
	}{
		{[]string{"--heartbeat", "1000"}, exitFailed, "REQUEST_INVALID"},
		{[]string{"--token-file", "/nowhere"}, exitFailed, "/nowhere"},
		{[]string{"--from", "yesterday"}, exitUsage, ""},
		{[]string{"--no-such-option", "1"}, exitUsage, ""},
	} {
		c.requireRefused(wrong.exitCode, wrong.reason, wrong.args...)
	}
}

// requireRefused requires that each consumer ends with the exit code, says why, prints
// nothing and leaves its checkpoint as it is.
func (c crew) requireRefused(exitCode int, reason string, args ...string) {
	for _, each := range c {
		each.t.Helper()
		before := each.saved()
		each.start(args...)
		require.Equal(each.t, exitCode, each.end(), "%s with %q said %s", each.name, args, each.said())
		require.Contains(each.t, each.said(), reason, each.name)
		require.NotEmpty(each.t, each.said(), each.name)
		require.Empty(each.t, each.running().lines, each.name)
		require.Equal(each.t, before, each.saved(), each.name)
		each.runs = each.runs[:len(each.runs)-1]
	}
}

// awaitLast waits until each has printed the line.
func (c crew) awaitLast(line string) {
	for _, each := range c {
		each.t.Helper()
		each.await("the last line", func(lines, _ []string) bool { return len(lines) > 0 && lines[len(lines)-1] == line })
	}
}
