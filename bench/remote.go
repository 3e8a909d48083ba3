package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"time"
)

// childServe is a child that serves a broker: serve NAME DIR [PROFILE]. It is told
// what to do by lines of JSON, and ends with its standard input.
const childServe = "serve"

// remoteOrder is one line to a broker's process.
type remoteOrder struct {
	Do       string   `json:"do"`
	UpTo     uint64   `json:"up_to,omitempty"`
	Rate     float64  `json:"rate,omitempty"`
	Rotation rotation `json:"rotation,omitzero"`
}

// What can be ordered. All but allow are answered.
const (
	orderPublish = "publish" // Rotation, and Rate or UpTo
	orderAllow   = "allow"   // UpTo
	orderEnd     = "end"
	orderUsage   = "usage"
	orderFree    = "free" // as usage, once all garbage was collected and given back
)

// remoteState is the answer to an order.
type remoteState struct {
	Addr      string        `json:"addr,omitempty"`
	Callbacks string        `json:"callbacks,omitempty"` // where they are posted to
	Published uint64        `json:"published,omitempty"`
	CPU       time.Duration `json:"cpu,omitempty"`
	Resident  uint64        `json:"resident,omitempty"`
	Error     string        `json:"error,omitempty"`
}

// serveInChild is the broker's process.
func serveInChild(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	c, err := findStreamContender(args[0])
	if err != nil {
		return err
	}
	to, err := c.serve(ctx, args[1])
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer func() { err = errors.Join(err, to.close()) }()
	if len(args) > 2 {
		stop, err := profile(args[2])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	answers := json.NewEncoder(out)
	first := remoteState{Addr: to.addr()}
	if f, ok := to.(*jetStreamFrontBroker); ok {
		first.Callbacks = f.callbacks
	}
	if err := answers.Encode(first); err != nil {
		return err
	}
	s := &remoteServer{contender: c, broker: to}
	defer s.abandon()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var order remoteOrder
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			return err
		}
		state, answer := s.obey(ctx, order)
		if !answer {
			continue
		}
		if err := answers.Encode(state); err != nil {
			return err
		}
	}
	return nil
}

// remoteServer obeys orders.
type remoteServer struct {
	contender streamContender
	broker    broker
	feed      *feed
	next      uint64 // first event of the next feed
}

func (s *remoteServer) obey(ctx context.Context, o remoteOrder) (state remoteState, answer bool) {
	var err error
	switch o.Do {
	case orderPublish:
		s.feed = startFeed(ctx, s.contender, s.broker, newStreamLoad(o.Rotation), s.next, o.Rate)
		s.feed.allow(o.UpTo)
	case orderAllow:
		s.feed.allow(o.UpTo)
		return state, false
	case orderEnd:
		s.next, err = s.feed.end()
		s.feed, state.Published = nil, s.next
	case orderFree:
		debug.FreeOSMemory()
		fallthrough
	case orderUsage:
		state, err = s.usage()
	default:
		err = fmt.Errorf("no order %q", o.Do)
	}
	if err != nil {
		state.Error = err.Error()
	}
	return state, true
}

// abandon ends a feed that nobody has ended in order.
func (s *remoteServer) abandon() {
	if s.feed != nil {
		s.feed.stop()
		_, _ = s.feed.end()
	}
}

func (s *remoteServer) usage() (remoteState, error) {
	state := remoteState{CPU: cpuTime(), Published: s.next}
	if s.feed != nil {
		state.Published = s.feed.published()
	}
	inRAM, err := memoryOf(os.Getpid())
	state.Resident = inRAM.resident
	return state, err
}

// remote is a broker's process, as seen from outside.
type remote struct {
	remoteState // as it was when it began

	cmd    *exec.Cmd
	orders io.WriteCloser
	lines  *bufio.Scanner
}

// remote starts a broker on a folder of its own. It must be closed.
func (b *bench) remote(ctx context.Context, c streamContender, dir string) (_ *remote, err error) {
	args := []string{childServe, c.name, dir}
	if b.serverProfile != "" {
		args = append(args, b.serverProfile)
	}
	r := &remote{}
	if r.cmd, err = b.self(ctx, args...); err != nil {
		return nil, err
	}
	if r.orders, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server's process: %w", err)
	}
	r.lines = bufio.NewScanner(out)
	if r.remoteState, err = r.answer(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// tell gives an order. Unlike the rest it may be called while another order is
// given or answered.
func (r *remote) tell(o remoteOrder) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := r.orders.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("order the server's process to %s: %w", o.Do, err)
	}
	return nil
}

func (r *remote) answer() (state remoteState, err error) {
	if !r.lines.Scan() {
		return state, errors.Join(errors.New("the server's process has ended"), r.lines.Err())
	}
	if err := json.Unmarshal(r.lines.Bytes(), &state); err != nil {
		return state, fmt.Errorf("read what the server's process says: %w", err)
	}
	if state.Error != "" {
		return state, fmt.Errorf("the server's process: %s", state.Error)
	}
	return state, nil
}

func (r *remote) ask(o remoteOrder) (remoteState, error) {
	if err := r.tell(o); err != nil {
		return remoteState{}, err
	}
	return r.answer()
}

// close ends the process in order.
func (r *remote) close() error {
	err := r.orders.Close()
	if ended := r.cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("the server's process: %w", ended))
	}
	return err
}

// unlimited lets a feed go as fast as the broker takes events.
const unlimited = math.MaxUint64
