//go:build examples

package behaviour_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// curl's exit codes that mean something here.
const (
	curlRefused = 22 // an HTTP status that is an error, with --fail-with-body
	curlSilent  = 28
)

// curlPatience is how long curl waits for a heartbeat, which come every 15 s.
const curlPatience = "32"

// curl reads server-sent events with one curl after the other, each where the last one
// stopped. As curl keeps no place, this does: in the file, and in Last-Event-ID.
type curl struct {
	*process
	options

	checkpoint keeper
	place      string // the last id that came
}

func launchCurl(c *consumer, args []string) *process {
	c.t.Helper()
	l := &curl{process: newProcess(c.name), options: optionsOf(c, args), checkpoint: c.checkpoint}
	ctx, cancel := context.WithCancel(context.Background())
	l.interrupt, l.kill = cancel, cancel
	go func() {
		defer close(l.done)
		l.exitCode = l.run(ctx)
	}()
	return l.process
}

// refusal is what the server answers instead of a stream.
type refusal string

func (r refusal) Error() string { return statusOf(string(r)).Err().Error() + " " + reasonOf(string(r)) }

// run reads streams until it is interrupted or refused, and returns an exit code.
func (c *curl) run(ctx context.Context) int {
	from, err := c.eventsURL(c.checkpoint)
	if err != nil {
		c.note(err.Error())
		return exitFailed
	}
	for {
		err := c.stream(ctx, from)
		if ctx.Err() != nil {
			return 0
		}
		if answer, ok := errors.AsType[refusal](err); ok && statusOf(string(answer)).Code() != codes.Unavailable && reasonOf(string(answer)) != "STREAM_LIMIT" {
			return c.refuse(string(answer))
		}
		c.note("lost: " + err.Error())
		select {
		case <-time.After(100*time.Millisecond + rand.N(time.Second)):
		case <-ctx.Done():
			return 0
		}
	}
}

// stream runs curl until it ends, and returns why it did.
func (c *curl) stream(ctx context.Context, from string) error {
	args := []string{"-sSN", "--fail-with-body", "--speed-limit", "1", "--speed-time", curlPatience, "-H", "@-"}
	if c.caFile != "" {
		args = append(args, "--cacert", c.caFile)
	}
	cmd := exec.CommandContext(ctx, "curl", append(args, from)...)
	header, err := c.header()
	if err != nil {
		return err
	}
	var said strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader(header), &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	rest := c.read(out)
	_ = cmd.Wait()
	switch code := cmd.ProcessState.ExitCode(); code {
	case curlRefused:
		return refusal(rest)
	case curlSilent:
		return fmt.Errorf("silent: %s", said.String())
	default:
		return fmt.Errorf("curl ended with %d: %s", code, said.String())
	}
}

// header is what the request has besides what curl puts in.
func (c *curl) header() (string, error) {
	var header string
	if c.tokenFile != "" {
		token, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return "", err
		}
		header += "Authorization: Bearer " + strings.TrimSpace(string(token)) + "\n"
	}
	if c.place != "" {
		header += "Last-Event-ID: " + c.place + "\n"
	}
	return header, nil
}

// read takes every message, and returns the first line that is of none.
func (c *curl) read(from io.Reader) (other string) {
	lines := bufio.NewReader(from)
	var m message
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // what was broken off is no line
			return other
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			m.Event = value
		case "data":
			m.Data = value
		case "id":
			m.ID = value
		case "retry":
		case "": // the end of a message, or a comment
			if line == "\n" {
				c.dispatch(m)
				m = message{}
			}
		default:
			other = line
		}
	}
}

// dispatch takes a message; one without data, a heartbeat, has only an id.
func (c *curl) dispatch(m message) {
	if m.ID != "" {
		c.place = m.ID
	}
	switch {
	case m.Data != "":
		c.take(m, c.checkpoint)
	case m.ID != "":
		if err := c.checkpoint.store(m.ID + "\n"); err != nil {
			c.note(err.Error())
		}
	}
}
