package docs

import (
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// following is a block that does not end by itself.
type following struct {
	command *exec.Cmd
	printed *output
	ended   chan struct{}
}

// interrupt ends it as Ctrl-C does, unless it has ended.
func (f *following) interrupt() {
	_ = syscall.Kill(-f.command.Process.Pid, syscall.SIGINT)
	<-f.ended
}

// follow starts a block that waits for events. If it is to be posted one, that is done
// until what it should print is there.
func (r *reader) follow(t *testing.T, b *block, text string, current *server) *following {
	t.Helper()
	f := &following{command: r.command(t, text, current), printed: &output{changed: make(chan struct{}, 1)}, ended: make(chan struct{})}
	f.command.Stdout, f.command.Stderr = f.printed, f.printed
	require.NoError(t, f.command.Start())
	go func() {
		defer close(f.ended)
		_ = f.command.Wait() // interrupted, it has no exit code worth checking
	}()
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for !all(b.has, f.printed.String()) {
		select {
		case <-f.printed.changed:
			continue
		case <-again.C:
			if b.posts != "" {
				r.finish(t, r.command(t, "wabastream send --now "+b.posts, current))
			}
			continue
		case <-f.ended:
		case <-late:
			t.Errorf("%s does not print what it should", b.name)
		}
		break
	}
	return f
}

func all(patterns []*regexp.Regexp, text string) bool {
	for _, pattern := range patterns {
		if !pattern.MatchString(text) {
			return false
		}
	}
	return true
}

// onOneDay does something that is about today. If meanwhile another day begins it was
// about two, and is done again.
func onOneDay(now func() time.Time, do func()) {
	day := func() time.Time { return now().UTC().Truncate(24 * time.Hour) } // the blocks' zone
	for {
		begun := day()
		do()
		if day().Equal(begun) {
			return
		}
	}
}

func TestAtMidnightItIsDoneAgain(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	var begun []string
	onOneDay(func() time.Time { return clock }, func() {
		begun = append(begun, clock.Format(time.DateTime))
		clock = clock.Add(2 * time.Second)
	})
	require.Equal(t, []string{"2026-01-31 23:59:59", "2026-02-01 00:00:01"}, begun)
}
